// What a person in front of the machine sees: lines in the kernel's log, of which the console shows
// those at least as urgent as `loglevel` on the command line.
#pragma once

#include "absl/strings/string_view.h"
#include "stele/machine/v1/event_service.pb.h"

namespace stele::machined {

// One line. Never blocks; without /dev/kmsg nothing happens. Any thread.
void TellConsole(machine::v1::Severity severity, absl::string_view line);

}  // namespace stele::machined
