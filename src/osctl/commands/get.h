// What `osctl get` was asked for, shared with its -w.
#pragma once

#include <string>
#include <vector>

#include "osctl/command.h"
#include "osctl/exit_code.h"
#include "osctl/output/resource.h"

namespace stele::osctl {

class Session;

struct GetOptions {
  std::string type;  // the type's own name once it is known
  std::vector<std::string> ids;
  bool watch = false;
  std::string output = "table";
  std::string field_selector;
  std::string label_selector;
  std::string resume;                   // a cursor that a watch in JSON showed
  const ResourceType* known = nullptr;  // nullptr: a type that this osctl does not know
};

// What `osctl get TYPE` is, for a command of its own.
Command GetCommandOf(const std::string& type);

// get -w: what there is, then a line for each change, until interrupted.
ExitCode Watch(Session& session, const GetOptions& options);

}  // namespace stele::osctl
