// Reading a log: shared by `osctl logs`, `osctl dmesg` and `osctl audit`.
#pragma once

#include <string>
#include <vector>

#include "osctl/command.h"
#include "stele/machine/v1/log_service.pb.h"

namespace stele::osctl {

struct LogOptions {
  bool follow = false;
  uint32_t tail = 0;
  std::string since;
  std::string until;
  std::string grep;
  bool invert = false;
  bool previous_boot = false;
  bool timestamps = false;
};

// -f, --tail, --since, --until, --grep, --invert, and as the last ones --previous-boot, --timestamps.
void AddLogArguments(LogOptions* options, std::vector<Argument>* arguments);

// Prints the log that `request`'s source names, or the several of it, called `names`, from every node. When the
// connection is lost it goes on after the last line that was printed: none is missing, none comes twice.
ExitCode ReadLog(Session& session, absl::string_view doing, stele::machine::v1::ReadLogRequest request,
                 const LogOptions& options, const std::vector<std::string>& names = {});

}  // namespace stele::osctl
