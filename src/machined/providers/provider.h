// Resource types that are read from the kernel when somebody asks, and cost nothing until then.
// A watch reads them every two seconds while it lasts.
//
// A new one is a message with the `resource` option in proto/stele/resource/v1, a file here with its reader, and a line
// in provider.cc.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "google/protobuf/message.h"

namespace stele::machined {

// By id.
using Provided = std::map<std::string, std::unique_ptr<google::protobuf::Message>>;

struct Provider {
  const char* type;   // as in the message's `resource` option
  const char* owner;  // shown as the resource's owner
  // May block: worker threads only.
  absl::StatusOr<Provided> (*read)();
};

// Null when the store holds the type.
const Provider* FindProvider(absl::string_view type);

// Puts a message of the type there and gives it out to be filled. Null when the id is taken.
template <typename M>
M* Provide(Provided& all, std::string id) {
  auto [at, added] = all.try_emplace(std::move(id), nullptr);
  if (!added) return nullptr;
  auto message = std::make_unique<M>();
  M* made = message.get();
  at->second = std::move(message);
  return made;
}

absl::StatusOr<Provided> ReadCertificates();
absl::StatusOr<Provided> ReadCgroups();
absl::StatusOr<Provided> ReadConntrack();
absl::StatusOr<Provided> ReadCpus();
absl::StatusOr<Provided> ReadDiskHealth();
absl::StatusOr<Provided> ReadDisks();
absl::StatusOr<Provided> ReadKeptLogs();
absl::StatusOr<Provided> ReadKernel();
absl::StatusOr<Provided> ReadLinkCounters();
absl::StatusOr<Provided> ReadMemory();
absl::StatusOr<Provided> ReadModules();
absl::StatusOr<Provided> ReadMounts();
absl::StatusOr<Provided> ReadNeighbours();
absl::StatusOr<Provided> ReadPartitions();
absl::StatusOr<Provided> ReadPciDevices();
absl::StatusOr<Provided> ReadPressure();
absl::StatusOr<Provided> ReadProcesses();
absl::StatusOr<Provided> ReadSensors();
absl::StatusOr<Provided> ReadSockets();
absl::StatusOr<Provided> ReadSysctls();
absl::StatusOr<Provided> ReadTypes();
absl::StatusOr<Provided> ReadUsbDevices();
absl::StatusOr<Provided> ReadWatchdogs();

}  // namespace stele::machined
