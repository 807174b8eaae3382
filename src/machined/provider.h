// Resource types that are read from the kernel when somebody asks, and cost nothing until then.
// A watch reads them every two seconds while it lasts.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "google/protobuf/message.h"

namespace stele::machined {

using Provided = std::map<std::string, std::unique_ptr<google::protobuf::Message>>;

struct Provider {
  const char* type;   // as in the message's `resource` option
  const char* owner;  // shown as the resource's owner
  // May block: worker threads only.
  absl::StatusOr<Provided> (*read)();
};

// Null when the store holds the type.
const Provider* FindProvider(absl::string_view type);

absl::StatusOr<Provided> ReadProcesses();
absl::StatusOr<Provided> ReadMounts();
absl::StatusOr<Provided> ReadTypes();

}  // namespace stele::machined
