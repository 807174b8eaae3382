// A log's line as a receiver elsewhere takes it. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace stele::machined {

enum class RecordFormat : unsigned char {
  kJson,            // {"time":…,"host":…,"boot":…,"source":…,"message":…} and a newline
  kSyslogStream,    // RFC 5424, its length before it (RFC 6587, RFC 5425)
  kSyslogDatagram,  // RFC 5424 alone (RFC 5426)
};

// A line longer than this goes as several: receivers have bounds.
size_t MaxMessage(RecordFormat format);

struct RecordOrigin {
  std::string host;
  std::string boot_id;
  std::string source;  // a service, or "kernel"
};

// One record for the line, which has no newline, or several where it is long; each is whole for its receiver. What is
// not UTF-8 becomes U+FFFD; in syslog control characters become blanks. A line without a time bears none (RFC 5424's
// "-", JSON's null).
std::vector<std::string> MakeRecords(RecordFormat format, const RecordOrigin& origin, absl::Time time,
                                     absl::string_view line);

}  // namespace stele::machined
