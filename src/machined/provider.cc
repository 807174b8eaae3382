#include "machined/provider.h"

#include "machined/store.h"
#include "stele/machine/v1/options.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {

const Provider* FindProvider(absl::string_view type) {
  static constexpr Provider kProviders[] = {
      {"processes", "kernel", ReadProcesses},
      {"mounts", "kernel", ReadMounts},
      {"types", "machined", ReadTypes},
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
    auto type = std::make_unique<resource::v1::ResourceType>();
    type->set_message(message->full_name());
    *type->mutable_aliases() = option.aliases();
    types.emplace(option.name(), std::move(type));
  }
  return types;
}

}  // namespace stele::machined
