// osctl's context file: which nodes there are, and the keys for them. The schema is
// stele.config.v1.ClientConfig.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "osctl/client/keys.h"
#include "stele/config/v1/client_config.pb.h"

namespace stele::osctl {

using Getenv = std::function<const char*(const char*)>;

// $OSCTLCONFIG, else $XDG_CONFIG_HOME/stele/config.yaml, else ~/.config/stele/config.yaml.
absl::StatusOr<std::string> ContextPath(const Getenv& getenv);

// An empty config when there is no such file. Problems name file, line and path.
absl::StatusOr<stele::config::v1::ClientConfig> LoadContexts(const std::string& path);
// Writes it with mode 0600, atomically; makes its directory.
absl::Status SaveContexts(const std::string& path, stele::config::v1::ClientConfig config);

// By name; the current one when `name` is empty.
absl::StatusOr<stele::config::v1::ClientContext> SelectContext(const stele::config::v1::ClientConfig& config,
                                                               const std::string& name, const std::string& path);

// Reads the keys that the context names: inline PEM, or files beside the context file.
absl::StatusOr<ClientKeys> LoadKeys(const stele::config::v1::ClientContext& context, const std::string& config_path);

// Adds the context or replaces the one of its name; the first one becomes current.
void PutContext(stele::config::v1::ClientConfig* config, stele::config::v1::ClientContext context);

}  // namespace stele::osctl
