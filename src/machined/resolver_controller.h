// Resolver specs → /etc/resolv.conf and the resource "resolvers".
#pragma once

#include "machined/controller.h"
#include "stele/resource/v1/network.pb.h"

namespace stele::machined {

// The configuration's servers where it has any, else DHCP's. Without either the file is there and
// names no server: the kubelet does not start a pod without the file.
class ResolverController : public Controller {
 public:
  explicit ResolverController(std::string path = "/etc/resolv.conf") : path_(std::move(path)) {}
  absl::string_view name() const override { return "resolver"; }
  std::vector<std::string> watches() const override { return {"resolverspecs"}; }
  absl::Status Reconcile() override;

 private:
  std::string path_;
};

// Which of the layers' specs holds. The configuration's search domains go with DHCP's servers when
// it names domains only.
resource::v1::Resolver ChooseResolver(const std::map<std::string, resource::v1::ResolverSpec>& specs);
// As resolv.conf(5) has it; at most three servers, as libc reads.
std::string ResolvConf(const resource::v1::Resolver& resolver);

}  // namespace stele::machined
