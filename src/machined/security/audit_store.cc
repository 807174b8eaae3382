#include "machined/security/audit_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/file.h"

namespace stele::machined {
namespace {

constexpr const char* kPrefix[] = {"calls-", "refused-"};
constexpr size_t kFilesKept[] = {AuditStore::kFilesOfCalls, AuditStore::kFilesOfRefusals};
constexpr size_t kNumberSize = 16;
constexpr size_t kBlock = 64 * 1024;
constexpr size_t kChunk = 256 * 1024;
// Twice what the records of a file can take.
constexpr size_t kMaxFile = 2 * AuditStore::kRecordsOfAFile * (AuditStore::kMaxText + 64);

std::string PathOf(const std::string& folder, absl::string_view prefix, uint64_t first) {
  return absl::StrCat(folder, "/", prefix, absl::StrFormat("%016x", first));
}

// First records' numbers of the folder's files, ascending.
std::vector<uint64_t> ListFiles(const std::string& folder, absl::string_view prefix) {
  std::vector<uint64_t> firsts;
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), ::closedir);
  while (dirent* entry = entries == nullptr ? nullptr : ::readdir(entries.get())) {
    absl::string_view name = entry->d_name;
    uint64_t first;
    if (absl::ConsumePrefix(&name, prefix) && name.size() == kNumberSize && absl::SimpleHexAtoi(name, &first)) {
      firsts.push_back(first);
    }
  }
  std::sort(firsts.begin(), firsts.end());
  return firsts;
}

// A line of a file, taken apart; views of the line.
struct Line {
  uint64_t number = 0;
  absl::string_view place;
  absl::string_view text;
};

// False for what a torn write left.
bool ParseLine(absl::string_view line, Line* out) {
  if (line.size() < kNumberSize + 4 || line[kNumberSize] != ' ') return false;
  if (!absl::SimpleHexAtoi(line.substr(0, kNumberSize), &out->number) || out->number == 0) return false;
  line.remove_prefix(kNumberSize + 1);
  size_t space = line.find(' ');
  if (space == absl::string_view::npos) return false;
  out->place = line.substr(0, space);
  out->text = line.substr(space + 1);
  return line.find('\0') == absl::string_view::npos;
}

// When the record says that it was; the past where it does not.
absl::Time TimeOf(absl::string_view text) {
  absl::Time time;
  if (!absl::ConsumePrefix(&text, "time=")) return absl::InfinitePast();
  text = text.substr(0, text.find(' '));
  return absl::ParseTime(absl::RFC3339_full, text, &time, nullptr) ? time : absl::InfinitePast();
}

// The records of one kind, in order, over the files there are.
class KindReader {
 public:
  KindReader(std::string folder, absl::string_view prefix) : folder_(std::move(folder)), prefix_(prefix) {}

  // The first record behind number `after`; nullptr when there is none now. Valid until the next call.
  const Line* Peek(uint64_t after) {
    while (!at_end_) {
      size_t end = buffer_.find('\n', at_);
      if (end == std::string::npos) {
        at_end_ = !ReadMore(after);
        continue;
      }
      absl::string_view text(buffer_.data() + at_, end - at_);
      if (ParseLine(text, &line_) && line_.number > after) return &line_;
      at_ = end + 1;
    }
    return nullptr;
  }
  // There may be more than when it came to the end.
  void Again() { at_end_ = false; }

 private:
  bool ReadMore(uint64_t after) {
    if (file_.ok() && ReadBlock()) return true;
    std::optional<uint64_t> next = NextFile(after);
    if (!next.has_value()) return false;
    // It is whole once there is one behind it; what was written to it between these two looks comes first.
    return (file_.ok() && ReadBlock()) || Open(*next);
  }

  bool ReadBlock() {
    buffer_.erase(0, at_);
    at_ = 0;
    size_t had = buffer_.size();
    buffer_.resize(had + kBlock);
    ssize_t got = ::read(file_.get(), buffer_.data() + had, kBlock);
    buffer_.resize(had + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    return got > 0;
  }

  // The file behind the present one, or the one that holds what comes behind `after`.
  std::optional<uint64_t> NextFile(uint64_t after) const {
    std::vector<uint64_t> firsts = ListFiles(folder_, prefix_);
    auto next = std::upper_bound(firsts.begin(), firsts.end(), file_.ok() ? first_ : after + 1);
    if (!file_.ok() && next != firsts.begin()) --next;
    if (next == firsts.end()) return std::nullopt;
    return *next;
  }

  bool Open(uint64_t first) {
    UniqueFd file(::open(PathOf(folder_, prefix_, first).c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.ok()) return false;
    file_ = std::move(file);
    first_ = first;
    buffer_.clear();  // what was torn at the end of the file before
    at_ = 0;
    return true;
  }

  std::string folder_;
  absl::string_view prefix_;
  UniqueFd file_;
  uint64_t first_ = 0;
  std::string buffer_;
  size_t at_ = 0;
  bool at_end_ = false;  // it is not looked for more with each record of the other kind
  Line line_;
};

// Both kinds, in the order of their numbers.
class Merged {
 public:
  explicit Merged(const std::string& folder) : calls_(folder, kPrefix[0]), refusals_(folder, kPrefix[1]) {}
  const Line* Peek(uint64_t after) {
    const Line* call = calls_.Peek(after);
    const Line* refusal = refusals_.Peek(after);
    if (call == nullptr || refusal == nullptr) return call == nullptr ? refusal : call;
    return call->number < refusal->number ? call : refusal;
  }

  void Again() {
    calls_.Again();
    refusals_.Again();
  }

 private:
  KindReader calls_, refusals_;
};

}  // namespace

class AuditReader : public LogSource {
 public:
  AuditReader(AuditStore& store, LogStart from, std::string tag, uint64_t after)
      : store_(store), from_(std::move(from)), cursor_tag_(std::move(tag)), cursor_after_(after) {}

  absl::StatusOr<LogChunk> Next() override {
    AuditStore::Present now = store_.present();
    if (!BeginOnce(now)) {
      if (from_.follow) return LogChunk();  // it will
      return absl::UnavailableError("the node still looks for its audit; try again");
    }
    if (begun_->opened != now.opened) {
      return absl::UnavailableError(
          "the audit goes on elsewhere, since the state partition is there now or a write to it failed: read it again");
    }
    // All up to this one are in the files, of both kinds, before the first of them is looked at.
    uint64_t last = std::min(begun_->end, now.newest);
    begun_->merged.Again();
    LogChunk chunk;
    std::string text;
    for (const Line* line; text.size() < kChunk && (line = begun_->merged.Peek(begun_->after)) != nullptr;) {
      if (line->number > last) break;
      absl::Time time = TimeOf(line->text);
      bool same = !chunk.marks.empty() && chunk.marks.back().time == time;
      if (!same) chunk.marks.push_back({static_cast<uint32_t>(text.size()), time});
      absl::StrAppend(&text, line->text, "\n");
      begun_->after = line->number;
    }
    chunk.data = LogBuffer(text.size());
    std::memcpy(chunk.data.data(), text.data(), text.size());
    chunk.data.set_size(text.size());
    chunk.cursor = begun_->Cursor();
    return chunk;
  }

  LogPlace Place() const override {
    // Of a store that is not open yet: all that will be there.
    bool begun = BeginOnce(store_.present());
    return {.cursor = begun ? begun_->Cursor() : from_.cursor.empty() ? ":0" : from_.cursor};
  }

  bool MayBlock() const override { return true; }

 private:
  // Where it is, since the store was open and it was first asked for.
  struct Begun {
    std::string tag;
    uint64_t opened = 0;
    uint64_t after = 0;
    uint64_t end = UINT64_MAX;
    Merged merged;

    std::string Cursor() const { return absl::StrFormat("%s:%x", tag, after); }
  };

  // False: the store is not open.
  bool BeginOnce(const AuditStore::Present& now) const {
    if (begun_.has_value() || now.opened == 0) return begun_.has_value();
    begun_ = Begun{.tag = now.tag, .opened = now.opened, .merged = Merged(now.folder)};
    if (cursor_tag_ == now.tag) begun_->after = cursor_after_;  // else of another folder: all of this one is new
    if (!from_.follow) begun_->end = now.newest;
    bool wished = from_.tail_lines > 0 || from_.since != absl::InfinitePast();
    if (from_.cursor.empty() && wished) begun_->after = FindStart(now);
    return true;
  }

  // The number before the first record that is wanted.
  uint64_t FindStart(const AuditStore::Present& now) const {
    Merged all(now.folder);
    std::deque<uint64_t> last;
    uint64_t at = 0;
    bool begun = from_.since == absl::InfinitePast();
    for (const Line* line; (line = all.Peek(at)) != nullptr && line->number <= now.newest; at = line->number) {
      if (!begun && TimeOf(line->text) < from_.since) continue;
      begun = true;
      last.push_back(line->number);
      if (from_.tail_lines > 0 && last.size() > from_.tail_lines) last.pop_front();
      if (from_.tail_lines == 0) break;
    }
    return last.empty() ? at : last.front() - 1;
  }

  AuditStore& store_;
  const LogStart from_;
  const std::string cursor_tag_;
  const uint64_t cursor_after_;
  mutable std::optional<Begun> begun_;
};

AuditStore::Present AuditStore::present() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return {opened_, folder_, tag_, newest_};
}

std::string AuditStore::folder() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return folder_;
}

std::string AuditStore::place() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return place_;
}

absl::Status AuditStore::Open(const std::string& folder, const std::string& tag) {
  RETURN_IF_ERROR(Annotate(MakeDirectories(folder, 0700), "keep the audit"));
  std::lock_guard<std::mutex> lock(mutex_);
  if (folder_ != folder) ++opened_;  // else its readers go on
  folder_ = folder;
  tag_ = tag;
  next_number_ = 1;
  place_number_ = 0;
  place_.clear();
  for (Kind kind : {kCalls, kRefusals}) RETURN_IF_ERROR(Annotate(OpenNewest(kind), "keep the audit"));
  newest_ = next_number_ - 1;
  return absl::OkStatus();
}

absl::Status AuditStore::OpenNewest(Kind kind) {
  File& file = files_[kind];
  file = File();
  std::vector<uint64_t> firsts = ListFiles(folder_, kPrefix[kind]);
  if (firsts.empty()) return BeginFile(kind);
  next_number_ = std::max(next_number_, firsts.back());
  ASSIGN_OR_RETURN(Known newest, LookInto(kind, firsts.back()));
  // A kill may have come between the making of a file and its first record: the place is in the one before.
  for (size_t i = firsts.size() - 1, records = newest.records; records == 0 && i-- > 0;) {
    ASSIGN_OR_RETURN(Known before, LookInto(kind, firsts[i]));
    records = before.records;
  }
  file.records = newest.records;
  std::string path = PathOf(folder_, kPrefix[kind], firsts.back());
  file.fd.reset(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!file.fd.ok()) return ErrnoStatus("open ", path);
  if (newest.whole == newest.size) return absl::OkStatus();
  if (::ftruncate(file.fd.get(), static_cast<off_t>(newest.whole)) != 0) {
    return ErrnoStatus("cut what is torn off ", path);
  }
  ++opened_;  // a reader may hold a part of what was cut off
  return absl::OkStatus();
}

absl::StatusOr<AuditStore::Known> AuditStore::LookInto(Kind kind, uint64_t first) {
  ASSIGN_OR_RETURN(std::string bytes, ReadFile(PathOf(folder_, kPrefix[kind], first), kMaxFile));
  Known known = {.size = bytes.size()};
  for (size_t at = 0, end; (end = bytes.find('\n', at)) != std::string::npos; at = end + 1) {
    Line line;
    if (!ParseLine(absl::string_view(bytes.data() + at, end - at), &line)) continue;
    ++known.records;
    known.whole = end + 1;
    next_number_ = std::max(next_number_, line.number + 1);
    if (line.number > place_number_) {
      place_number_ = line.number;
      place_ = std::string(line.place);
    }
  }
  return known;
}

// The one that was written is whole; the oldest beyond what is kept go.
absl::Status AuditStore::BeginFile(Kind kind) {
  File& file = files_[kind];
  RETURN_IF_ERROR(Write(kind));
  if (file.fd.ok() && file.unflushed && ::fdatasync(file.fd.get()) != 0) return ErrnoStatus("flush the audit");
  file = File();
  std::string path = PathOf(folder_, kPrefix[kind], next_number_);
  file.fd.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file.fd.ok()) return ErrnoStatus("make ", path);
  std::vector<uint64_t> firsts = ListFiles(folder_, kPrefix[kind]);
  for (size_t i = 0; i + kFilesKept[kind] < firsts.size(); ++i) {
    std::string old = PathOf(folder_, kPrefix[kind], firsts[i]);
    if (::unlink(old.c_str()) != 0 && errno != ENOENT) return ErrnoStatus("remove ", old);
  }
  UniqueFd directory(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.ok() || ::fsync(directory.get()) != 0) return ErrnoStatus("flush ", folder_);
  return absl::OkStatus();
}

absl::Status AuditStore::Write(Kind kind) {
  File& file = files_[kind];
  if (file.unwritten.empty()) return absl::OkStatus();
  std::string text = std::exchange(file.unwritten, {});
  file.unflushed = true;
  return Annotate(WriteAll(file.fd.get(), text), absl::StrCat("write the audit in ", folder_));
}

absl::Status AuditStore::Append(const std::vector<AuditRecord>& records) {
  std::lock_guard<std::mutex> lock(mutex_);
  Kind last = kCalls;
  for (const AuditRecord& record : records) {
    Kind kind = record.refusal ? kRefusals : kCalls;
    // In order, whichever file: after a kill no record is missing before one that is there.
    if (kind != std::exchange(last, kind)) RETURN_IF_ERROR(Write(kind == kCalls ? kRefusals : kCalls));
    if (files_[kind].records >= kRecordsOfAFile) RETURN_IF_ERROR(BeginFile(kind));
    absl::StrAppend(&files_[kind].unwritten, absl::StrFormat("%016x", next_number_), " ", record.place, " ",
                    absl::string_view(record.text).substr(0, kMaxText), "\n");
    ++files_[kind].records;
    place_ = record.place;
    place_number_ = next_number_++;
  }
  RETURN_IF_ERROR(Write(last));
  for (File& file : files_) {
    if (std::exchange(file.unflushed, false) && ::fdatasync(file.fd.get()) != 0) return ErrnoStatus("flush the audit");
  }
  newest_ = next_number_ - 1;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LogSource>> AuditStore::Read(const LogStart& from) {
  std::string tag;
  uint64_t after = 0;
  if (!from.cursor.empty()) {
    size_t colon = from.cursor.find(':');
    if (colon == std::string::npos || !absl::SimpleHexAtoi(from.cursor.substr(colon + 1), &after)) {
      return absl::InvalidArgumentError("the cursor is not one that the audit gave");
    }
    tag = from.cursor.substr(0, colon);
  }
  return absl::StatusOr<std::unique_ptr<LogSource>>(std::make_unique<AuditReader>(*this, from, std::move(tag), after));
}

bool ParseAuditLine(absl::string_view line, AuditRecord* record) {
  if (!absl::ConsumePrefix(&line, "audit ") || !absl::StartsWith(line, "time=")) return false;
  record->text = std::string(line.substr(0, AuditStore::kMaxText));
  size_t space = line.find(' ');
  absl::string_view rest = space == absl::string_view::npos ? "" : line.substr(space + 1);
  // Both are apid's own words, before anything that a client chose.
  record->refusal = absl::StartsWith(rest, "peer=") || absl::StartsWith(rest, "refused_and_not_shown=");
  return true;
}

}  // namespace stele::machined
