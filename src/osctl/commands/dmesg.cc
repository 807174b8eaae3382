// osctl dmesg: the kernel's log.
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/commands/read_log.h"
#include "osctl/session.h"

namespace stele::osctl {

Command DmesgCommand() {
  auto options = std::make_shared<LogOptions>();
  Command command;
  command.name = "dmesg";
  command.summary = "shows the kernel's log";
  AddLogArguments(options.get(), &command.arguments);
  command.run = [options](Session& session) {
    stele::machine::v1::ReadLogRequest request;
    request.mutable_kernel();
    return ReadLog(session, "dmesg", std::move(request), *options);
  };
  return command;
}

}  // namespace stele::osctl
