#include "machined/resolver_controller.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "machined/network_specs.h"

namespace stele::machined {
namespace {

constexpr int kMaxServers = 3;

}  // namespace

resource::v1::Resolver ChooseResolver(const std::map<std::string, resource::v1::ResolverSpec>& specs) {
  resource::v1::Resolver chosen;
  for (const char* layer : {kLayerConfig, kLayerDhcp4}) {
    auto spec = specs.find(layer);
    if (spec == specs.end()) continue;
    if (chosen.servers().empty() && !spec->second.servers().empty()) {
      *chosen.mutable_servers() = spec->second.servers();
      chosen.set_layer(layer);
    }
    if (chosen.search().empty()) *chosen.mutable_search() = spec->second.search();
  }
  return chosen;
}

std::string ResolvConf(const resource::v1::Resolver& resolver) {
  std::string text = "# Written by machined, from the configuration or DHCP.\n";
  for (int i = 0; i < resolver.servers_size() && i < kMaxServers; ++i) {
    absl::StrAppend(&text, "nameserver ", resolver.servers(i), "\n");
  }
  if (!resolver.search().empty()) absl::StrAppend(&text, "search ", absl::StrJoin(resolver.search(), " "), "\n");
  return text;
}

absl::Status ResolverController::Reconcile() {
  resource::v1::Resolver resolver = ChooseResolver(node_->store().All<resource::v1::ResolverSpec>());
  std::string text = ResolvConf(resolver);
  absl::StatusOr<std::string> present = ReadFile(path_);
  if (!present.ok() || *present != text) RETURN_IF_ERROR(ReplaceFile(path_, text));
  return node_->store().Put(name(), "resolvers", resolver);
}

}  // namespace stele::machined
