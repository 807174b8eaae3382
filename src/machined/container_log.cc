#include "machined/container_log.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {
namespace {

// Lines of one millisecond share a mark: "2024-05-01T10:00:00.123".
constexpr size_t kMarkLength = 23;

bool Matches(absl::string_view wanted, const StoredResource& resource) {
  const auto& container = static_cast<const resource::v1::Container&>(*resource.body);
  if (absl::StrContains(wanted, "/")) {
    return wanted == container.pod() || wanted == absl::StrCat(container.pod(), "/", container.name());
  }
  return absl::StartsWith(container.container_id(), wanted) || absl::StartsWith(resource.id, wanted);
}

// The file of that inode in `path`'s directory: the log before it was rotated away.
std::string FindByInode(const std::string& path, uint64_t inode) {
  size_t slash = path.rfind('/');
  std::string directory = path.substr(0, slash);
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory.c_str()), ::closedir);
  if (entries == nullptr) return "";
  while (dirent* entry = ::readdir(entries.get())) {
    if (entry->d_ino == inode) return absl::StrCat(directory, "/", entry->d_name);
  }
  return "";
}

}  // namespace

absl::StatusOr<ResourcePtr> FindContainer(const Store& store, absl::string_view wanted) {
  std::vector<ResourcePtr> found;
  if (!wanted.empty()) {
    for (const ResourcePtr& resource : store.List("containers")) {
      if (Matches(wanted, *resource)) found.push_back(resource);
    }
  }
  if (found.empty())
    return absl::NotFoundError(absl::StrCat("no container ", wanted, ": `osctl get containers` lists them"));
  if (found.size() == 1) return found.front();
  // Earlier runs of one container stay listed: the running one is meant, else the newest.
  ResourcePtr best;
  std::string name;
  for (const ResourcePtr& resource : found) {
    const auto& container = static_cast<const resource::v1::Container&>(*resource->body);
    std::string full = absl::StrCat(container.pod(), "/", container.name());
    if (!name.empty() && name != full) {
      return absl::InvalidArgumentError(absl::StrCat(wanted, " is ambiguous: ", name, " and ", full, " among others"));
    }
    name = full;
    const auto* chosen = best == nullptr ? nullptr : static_cast<const resource::v1::Container*>(best->body.get());
    if (chosen == nullptr || container.created().seconds() > chosen->created().seconds() ||
        (container.created().seconds() == chosen->created().seconds() &&
         container.created().nanos() > chosen->created().nanos())) {
      best = resource;
    }
  }
  return best;
}

bool HasEnded(const Store& store, const std::string& id) {
  const auto* container = store.Find<resource::v1::Container>(id);
  return container == nullptr || container->state() == "Exited";
}

bool ParseContainerLine(absl::string_view line, ContainerLine& out) {
  // time, stream, tags, text: the text may be empty and hold spaces.
  size_t first = line.find(' ');
  size_t second = first == absl::string_view::npos ? first : line.find(' ', first + 1);
  if (second == absl::string_view::npos) return false;
  size_t third = line.find(' ', second + 1);
  absl::string_view tags = line.substr(second + 1, third == absl::string_view::npos ? third : third - second - 1);
  if (tags.empty()) return false;
  out.time = line.substr(0, first);
  out.partial = tags[0] == 'P';
  out.text = line.substr(third == absl::string_view::npos ? line.size() : third + 1);
  return true;
}

absl::StatusOr<std::unique_ptr<LogSource>> ContainerLog::Open(std::string path, const LogStart& from) {
  std::unique_ptr<ContainerLog> log(new ContainerLog(std::move(path)));
  RETURN_IF_ERROR(log->Begin(from));
  return absl::StatusOr<std::unique_ptr<LogSource>>(std::move(log));
}

absl::Status ContainerLog::OpenFile(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.ok()) return ErrnoStatus("open ", path);
  struct stat stat;
  if (::fstat(file.get(), &stat) != 0) return ErrnoStatus("look at ", path);
  if (!S_ISREG(stat.st_mode)) return absl::FailedPreconditionError(absl::StrCat(path, " is no file"));
  file_ = std::move(file);
  inode_ = stat.st_ino;
  offset_ = 0;
  return absl::OkStatus();
}

absl::Status ContainerLog::Begin(const LogStart& from) {
  if (path_.empty()) return absl::NotFoundError("the container has no log");
  since_ = from.since;
  struct stat now;
  if (!from.follow && ::stat(path_.c_str(), &now) == 0) end_ = {now.st_ino, static_cast<uint64_t>(now.st_size)};
  if (from.cursor.empty()) {
    RETURN_IF_ERROR(OpenFile(path_));
    if (from.tail_lines > 0) offset_ = FindTail(from.tail_lines);
    return absl::OkStatus();
  }
  std::pair<std::string, std::string> parts = absl::StrSplit(from.cursor, absl::MaxSplits(':', 1));
  uint64_t inode, offset;
  if (!absl::SimpleAtoi(parts.first, &inode) || !absl::SimpleAtoi(parts.second, &offset)) {
    return absl::InvalidArgumentError("the cursor is not one that this log gave");
  }
  std::string before = FindByInode(path_, inode);
  if (before.empty() || !OpenFile(before).ok()) return OpenFile(path_);  // rotated out of reach: what there still is
  offset_ = offset;
  return absl::OkStatus();
}

uint64_t ContainerLog::FindTail(uint32_t lines) const {
  struct stat stat;
  if (::fstat(file_.get(), &stat) != 0) return 0;
  std::string block(256 * 1024, '\0');
  uint64_t newlines = 0;
  for (uint64_t end = stat.st_size; end > 0;) {
    uint64_t begin = end > block.size() ? end - block.size() : 0;
    if (::pread(file_.get(), block.data(), end - begin, begin) != static_cast<ssize_t>(end - begin)) return 0;
    for (uint64_t at = end - begin; at > 0; --at) {
      if (block[at - 1] == '\n' && ++newlines > lines) return begin + at;
    }
    end = begin;
  }
  return 0;
}

absl::StatusOr<bool> ContainerLog::OpenNewer() {
  struct stat now, ours;
  if (::stat(path_.c_str(), &now) != 0 || now.st_ino == inode_) return false;
  // It may have got lines between our read and its rename.
  if (::fstat(file_.get(), &ours) == 0 && static_cast<uint64_t>(ours.st_size) > offset_) return true;
  RETURN_IF_ERROR(OpenFile(path_));
  return true;
}

absl::StatusOr<LogChunk> ContainerLog::Next() {
  LogChunk chunk;
  LogBuffer raw(kLogChunk);
  while (chunk.data.size() == 0) {
    bool ends_here = inode_ == end_.inode;
    if (ends_here && offset_ >= end_.offset) break;
    size_t want = ends_here ? std::min<uint64_t>(kLogChunk, end_.offset - offset_) : kLogChunk;
    ssize_t got = ::pread(file_.get(), raw.data(), want, offset_);
    if (got < 0) return ErrnoStatus("read ", path_);
    const void* newline = got == 0 ? nullptr : ::memrchr(raw.data(), '\n', got);
    size_t whole = newline == nullptr ? 0 : static_cast<const char*>(newline) - raw.data() + 1;
    if (whole == 0 && static_cast<size_t>(got) == kLogChunk) whole = got;  // no line of containerd's: pass it by
    if (whole == 0) {
      if (ends_here) break;  // a line that was not whole then
      ASSIGN_OR_RETURN(bool newer, OpenNewer());
      if (!newer) break;
      // A line that its writer never ended, in a file that was rotated away, has no newline to wait for.
      if (got > 0) offset_ += got;
      continue;
    }
    offset_ += Convert({raw.data(), whole}, chunk);
  }
  chunk.cursor = Place().cursor;
  return chunk;
}

LogPlace ContainerLog::Place() const { return {.cursor = absl::StrCat(inode_, ":", offset_)}; }

size_t ContainerLog::Convert(absl::string_view raw, LogChunk& chunk) {
  const char* const begin = raw.data();
  LogBuffer out(raw.size());  // text is shorter than its line
  size_t size = 0;
  size_t ended = 0, taken = 0;  // where the last whole line ends, in `out` and in `raw`
  absl::string_view marked;
  while (!raw.empty()) {
    size_t length = raw.find('\n');
    absl::string_view line = raw.substr(0, length);
    raw.remove_prefix(length == absl::string_view::npos ? raw.size() : length + 1);
    ContainerLine parsed;
    if (!ParseContainerLine(line, parsed)) continue;
    absl::string_view millisecond = parsed.time.substr(0, kMarkLength);
    if (millisecond != marked) {
      marked = millisecond;
      absl::Time time;
      std::string error;
      if (absl::ParseTime(absl::RFC3339_full, parsed.time, &time, &error)) {
        if (time < since_) {
          marked = {};
          continue;
        }
        since_ = absl::InfinitePast();  // what follows is later
        chunk.marks.push_back({static_cast<uint32_t>(size), time});
      }
    }
    std::memcpy(out.data() + size, parsed.text.data(), parsed.text.size());
    size += parsed.text.size();
    if (parsed.partial) continue;
    out.data()[size++] = '\n';
    ended = size;
    taken = raw.data() - begin;
  }
  // Pieces of one line that fill a whole chunk come as they are.
  bool in_pieces = ended == 0 && size > 0;
  bool waits = !in_pieces && size > ended;
  if (waits) {
    while (!chunk.marks.empty() && chunk.marks.back().offset >= ended) chunk.marks.pop_back();
  }
  out.set_size(waits ? ended : size);
  chunk.data = std::move(out);
  return waits ? taken : raw.data() - begin;
}

}  // namespace stele::machined
