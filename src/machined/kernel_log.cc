#include "machined/kernel_log.h"

#include <fcntl.h>

#include <cstring>
#include <ctime>
#include <deque>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/unique_fd.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxRecord = 16 * 1024;  // the kernel's own bound is below it

class KernelLog : public LogSource {
 public:
  KernelLog(UniqueFd kmsg, std::string boot, uint64_t after, absl::Time since, std::string from_whom)
      : kmsg_(std::move(kmsg)), boot_(std::move(boot)), last_(after), since_(since), from_whom_(std::move(from_whom)) {
    timespec since_boot;
    ::clock_gettime(CLOCK_MONOTONIC, &since_boot);
    started_ = absl::Now() - absl::DurationFromTimespec(since_boot);
  }

  // So that Next gives the last `lines` records first.
  absl::Status SkipToTail(uint32_t lines) {
    while (true) {
      ASSIGN_OR_RETURN(bool got, ReadRecord());
      if (!got) return absl::OkStatus();
      held_.push_back(record_);
      if (held_.size() > lines) held_.pop_front();
    }
  }

  absl::StatusOr<LogChunk> Next() override {
    LogChunk chunk;
    LogBuffer buffer(kLogChunk);
    size_t size = 0;
    while (size + kMaxRecord < kLogChunk) {
      if (!held_.empty()) {
        record_ = std::move(held_.front());
        held_.pop_front();
      } else {
        ASSIGN_OR_RETURN(bool got, ReadRecord());
        if (!got) break;
      }
      last_ = record_.sequence;
      size_t length = std::min(record_.text.size(), kMaxRecord);
      std::memcpy(buffer.data() + size, record_.text.data(), length);
      chunk.marks.push_back({static_cast<uint32_t>(size), TimeOf(record_)});
      size += length;
    }
    buffer.set_size(size);
    chunk.data = std::move(buffer);
    chunk.cursor = Place().cursor;
    return chunk;
  }

  // 0 stands for the beginning.
  LogPlace Place() const override {
    return {.cursor = absl::StrCat(boot_, ":", held_.empty() ? last_ + 1 : held_.front().sequence)};
  }

 private:
  absl::Time TimeOf(const KernelRecord& record) const { return started_ + absl::Microseconds(record.time_us); }

  // Into record_; false when there is no more now.
  absl::StatusOr<bool> ReadRecord() {
    char bytes[kMaxRecord];
    while (true) {
      ssize_t size = ::read(kmsg_.get(), bytes, sizeof bytes);
      if (size < 0 && errno == EAGAIN) return false;
      if (size < 0 && (errno == EPIPE || errno == EINTR)) continue;  // overwritten before we read it: the next is newer
      if (size < 0) return ErrnoStatus("read /dev/kmsg");
      if (size == 0) return false;
      if (!ParseKernelRecord({bytes, static_cast<size_t>(size)}, record_)) continue;
      if (last_ != UINT64_MAX && record_.sequence <= last_) continue;
      if (TimeOf(record_) < since_) continue;
      if (record_.text.compare(record_.prefix, from_whom_.size(), from_whom_) != 0) continue;
      return true;
    }
  }

  UniqueFd kmsg_;
  std::string boot_;
  uint64_t last_;  // the last record given out; UINT64_MAX: none
  absl::Time since_;
  std::string from_whom_;
  absl::Time started_;
  KernelRecord record_;
  std::deque<KernelRecord> held_;
};

}  // namespace

bool ParseKernelRecord(absl::string_view record, KernelRecord& out) {
  // "6,339,5140900,-;NET: Registered protocol family 10\n SUBSYSTEM=…\n DEVICE=…\n"
  size_t semicolon = record.find(';');
  if (semicolon == absl::string_view::npos) return false;
  std::vector<absl::string_view> head = absl::StrSplit(record.substr(0, semicolon), ',');
  if (head.size() < 3 || !absl::SimpleAtoi(head[1], &out.sequence) || !absl::SimpleAtoi(head[2], &out.time_us))
    return false;
  absl::string_view rest = record.substr(semicolon + 1);
  absl::string_view text = rest.substr(0, rest.find('\n'));  // the dictionary after it is for machines
  std::string prefix = absl::StrFormat("[%5d.%06d] ", out.time_us / 1'000'000, out.time_us % 1'000'000);
  out.text = prefix;
  out.prefix = prefix.size();
  // Bytes below space come as \xNN; a line feed inside a record begins a line of its own.
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 4) == "\\x0a") {
      out.text += "\n" + std::string(prefix.size(), ' ');
      i += 3;
    } else {
      out.text += text[i];
    }
  }
  out.text += '\n';
  return true;
}

absl::StatusOr<std::unique_ptr<LogSource>> OpenKernelLog(const std::string& boot, const LogStart& from,
                                                         const std::string& from_whom) {
  UniqueFd kmsg(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!kmsg.ok()) return ErrnoStatus("open /dev/kmsg");
  uint64_t after = UINT64_MAX;
  if (!from.cursor.empty()) {
    std::pair<std::string, std::string> parts = absl::StrSplit(from.cursor, absl::MaxSplits(':', 1));
    uint64_t next;
    if (!absl::SimpleAtoi(parts.second, &next))
      return absl::InvalidArgumentError("the cursor is not one that this log gave");
    if (parts.first == boot && next > 0) after = next - 1;
  }
  auto log = std::make_unique<KernelLog>(std::move(kmsg), boot, after, from.since, from_whom);
  if (from.cursor.empty() && from.tail_lines > 0) RETURN_IF_ERROR(log->SkipToTail(from.tail_lines));
  return absl::StatusOr<std::unique_ptr<LogSource>>(std::move(log));
}

}  // namespace stele::machined
