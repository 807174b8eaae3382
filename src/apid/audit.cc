#include "apid/audit.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace stele {
namespace {

std::string Now() {
  timespec now = {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm utc = {};
  ::gmtime_r(&now.tv_sec, &utc);
  return absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                         utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1'000'000);
}

// In quotes, without control characters, quotes or backslashes, at most 200 bytes.
std::string Quote(absl::string_view text) {
  std::string out = "\"";
  for (char c : text.substr(0, 200)) {
    auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7f || c == '"' || c == '\\' ? '?' : c;
  }
  return out + "\"";
}

}  // namespace

Audit::Audit(int fd) : fd_(fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

void Audit::WriteCall(const Call& call) {
  Line(absl::StrCat("audit time=", Now(), " subject=", Quote(call.subject), " role=", call.role,
                    " serial=", call.serial, " peer=", call.peer, " method=", Quote(call.method),
                    " decision=", call.decision, " result=", call.result, " took_ms=", call.took_ms));
}

void Audit::WriteRefusal(absl::string_view peer, absl::string_view why, int64_t now_ms) {
  if (now_ms / 1000 != refusal_second_) {
    refusal_second_ = now_ms / 1000;
    refusals_ = 0;
    if (suppressed_ > 0) Line(absl::StrCat("audit time=", Now(), " refused_and_not_shown=", suppressed_));
    suppressed_ = 0;
  }
  if (++refusals_ > kRefusalsPerSecond) {
    ++suppressed_;
    return;
  }
  Line(absl::StrCat("audit time=", Now(), " peer=", peer, " decision=refuse reason=", Quote(why)));
}

void Audit::WriteNote(absl::string_view text) { Line(absl::StrCat("apid: ", text)); }

void Audit::Line(std::string line) {
  line += '\n';
  if (pending_.size() + line.size() > kPendingBytes) {
    ++lost_lines_;
  } else {
    pending_ += line;
  }
  Flush();
}

void Audit::Flush() {
  if (lost_lines_ > 0 && pending_.size() < kPendingBytes / 2) {
    absl::StrAppend(&pending_, "audit time=", Now(), " lost_lines=", lost_lines_, "\n");
    lost_lines_ = 0;
  }
  while (!pending_.empty()) {
    ssize_t written = ::write(fd_, pending_.data(), pending_.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) return;
    if (written < 0) {  // nobody will ever read it
      pending_.clear();
      return;
    }
    pending_.erase(0, static_cast<size_t>(written));
  }
}

}  // namespace stele
