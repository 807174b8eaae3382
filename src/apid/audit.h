// The audit: one line for every call, and for every connection that was turned away, on a pipe that
// init keeps. Never blocks and never grows: what does not fit is counted, and the count is written.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace stele {

class Audit {
 public:
  // Borrows `fd` and makes it non-blocking.
  explicit Audit(int fd);

  struct Call {
    absl::string_view subject;  // may be what a stranger wrote: quoted
    absl::string_view role;
    absl::string_view serial;  // of the certificate, as it is revoked by
    absl::string_view peer;
    absl::string_view method;
    absl::string_view decision;  // "allow" or "deny"
    absl::string_view result;    // the status, or "started" for a stream that goes on
    int64_t took_ms = 0;
  };
  void WriteCall(const Call& call);

  // A connection that never became a client. At most kRefusalsPerSecond of these lines: strangers
  // cause them.
  void WriteRefusal(absl::string_view peer, absl::string_view why, int64_t now_ms);

  // A line about apid itself.
  void WriteNote(absl::string_view text);

  // Tries again what the pipe did not take.
  void Flush();
  bool has_pending() const { return !pending_.empty(); }

 private:
  static constexpr size_t kPendingBytes = 64 * 1024;
  static constexpr int kRefusalsPerSecond = 10;
  void Line(std::string line);

  int fd_;
  std::string pending_;
  uint64_t lost_lines_ = 0;
  int64_t refusal_second_ = 0;
  int refusals_ = 0;
  uint64_t suppressed_ = 0;
};

}  // namespace stele
