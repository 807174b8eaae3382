#include "services/apid.h"

#include "absl/strings/str_cat.h"
#include "base/first_services.h"

namespace stele::services {

// Not only_listed_files: a machined that was just started lists no keys yet, and must not take them away.
std::vector<ServiceDirectory> ApidDirectories() {
  return {{.path = kApidKeys, .mode = 0500, .uid = kApidUser, .gid = kApidUser}};
}

std::vector<ServiceFile> ApidFiles(const config::v1::MachineConfig& config) {
  auto file = [](const char* name, const std::string& content) {
    return ServiceFile{absl::StrCat(kApidKeys, "/", name), content, 0400, kApidUser, kApidUser};
  };
  return {
      file("client-ca.crt", config.api().client_ca()),
      file("tls.pem", absl::StrCat(config.api().certificate(), "\n", config.api().key())),
  };
}

}  // namespace stele::services
