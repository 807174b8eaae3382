#include "services/apid.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/first_services.h"

namespace stele::services {

// Not only_listed_files: a machined that was just started lists no keys yet, and must not take them away.
std::vector<ServiceDirectory> ApidDirectories() {
  return {{.path = kApidKeys, .mode = 0500, .uid = kApidUser, .gid = kApidUser}};
}

namespace {

ServiceFile Key(const char* name, const std::string& content) {
  return {absl::StrCat(kApidKeys, "/", name), content, 0400, kApidUser, kApidUser};
}

// A line for each role that the configuration names, as src/apid/roles.h has it.
std::string Roles(const config::v1::MachineConfig& config) {
  std::string text;
  for (const auto& role : config.api().roles()) {
    absl::StrAppend(&text, role.name(), " methods=", absl::StrJoin(role.methods(), ","),
                    " resources=", absl::StrJoin(role.resources(), ","), "\n");
  }
  return text;
}

}  // namespace

ServiceFile ApidRevoked(const std::string& serials) { return Key("revoked", serials); }

std::vector<ServiceFile> ApidFiles(const config::v1::MachineConfig& config) {
  return {
      Key("roles", Roles(config)),  // before the keys: who is served from then on is judged by them
      Key("client-ca.crt", config.api().client_ca()),
      Key("tls.pem", absl::StrCat(config.api().certificate(), "\n", config.api().key())),
  };
}

}  // namespace stele::services
