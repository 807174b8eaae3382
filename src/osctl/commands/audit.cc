// osctl audit: every call of the nodes' API, and who was turned away.
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/commands/read_log.h"
#include "osctl/session.h"

namespace stele::osctl {

Command AuditCommand() {
  auto options = std::make_shared<LogOptions>();
  Command command;
  command.name = "audit";
  command.summary = "shows every call of the nodes' API, and who was turned away";
  command.description =
      "A record a line: when, who, as which role, by which certificate, from where, which method, what was decided\n"
      "and how it ended. Kept over reboots: at least the last 10,000 calls.\n"
      "  osctl audit --since 1h -g decision=deny\n"
      "  osctl audit -f --tail 20";
  std::vector<Argument> all;
  AddLogArguments(options.get(), &all);
  all.resize(all.size() - 2);  // --previous-boot and --timestamps: it outlives boots, and each record has its own
  command.arguments = std::move(all);
  command.run = [options](Session& session) {
    stele::machine::v1::ReadLogRequest request;
    request.mutable_audit();
    return ReadLog(session, "audit", std::move(request), *options);
  };
  return command;
}

}  // namespace stele::osctl
