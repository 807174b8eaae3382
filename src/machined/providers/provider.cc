#include "machined/providers/provider.h"

#include "machined/store.h"
#include "stele/machine/v1/options.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {

const Provider* FindProvider(absl::string_view type) {
  static constexpr Provider kProviders[] = {
      {"certificates", "machined", ReadCertificates},
      {"cgroups", "kernel", ReadCgroups},
      {"conntrack", "kernel", ReadConntrack},
      {"cpus", "kernel", ReadCpus},
      {"diskhealth", "disk", ReadDiskHealth},
      {"disks", "kernel", ReadDisks},
      {"keptlogs", "machined", ReadKeptLogs},
      {"kernel", "kernel", ReadKernel},
      {"linkcounters", "kernel", ReadLinkCounters},
      {"memory", "kernel", ReadMemory},
      {"modules", "kernel", ReadModules},
      {"mounts", "kernel", ReadMounts},
      {"neighbours", "kernel", ReadNeighbours},
      {"partitions", "kernel", ReadPartitions},
      {"pcidevices", "kernel", ReadPciDevices},
      {"pressure", "kernel", ReadPressure},
      {"processes", "kernel", ReadProcesses},
      {"sensors", "kernel", ReadSensors},
      {"sockets", "kernel", ReadSockets},
      {"sysctls", "kernel", ReadSysctls},
      {"types", "machined", ReadTypes},
      {"usbdevices", "kernel", ReadUsbDevices},
      {"watchdogs", "kernel", ReadWatchdogs},
  };
  for (const Provider& provider : kProviders) {
    if (type == provider.type) return &provider;
  }
  return nullptr;
}

absl::StatusOr<Provided> ReadTypes() {
  Provided types;
  for (const google::protobuf::Descriptor* message : ResourceMessages()) {
    const machine::v1::ResourceOption& option = message->options().GetExtension(machine::v1::resource);
    auto* type = Provide<resource::v1::ResourceType>(types, option.name());
    type->set_message(message->full_name());
    *type->mutable_aliases() = option.aliases();
  }
  return types;
}

}  // namespace stele::machined
