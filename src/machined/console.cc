#include "machined/console.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace stele::machined {

void TellConsole(machine::v1::Severity severity, absl::string_view line) {
  static const int kmsg = ::open("/dev/kmsg", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (kmsg < 0) return;
  // syslog(2): errors, warnings, informational; the facility is "system daemons".
  int priority = severity == machine::v1::SEVERITY_ERROR ? 3 : severity == machine::v1::SEVERITY_WARNING ? 4 : 6;
  std::string record = absl::StrCat("<", 3 << 3 | priority, ">machined: ", line.substr(0, 900));
  if (::write(kmsg, record.data(), record.size()) < 0) return;  // a full log has no reader to tell
}

}  // namespace stele::machined
