#include "osctl/context.h"

#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "config/proto_to_yaml.h"
#include "config/yaml_to_proto.h"
#include "osctl/failure.h"
#include "osctl/suggest.h"

namespace stele::osctl {
namespace {

using stele::config::v1::ClientConfig;
using stele::config::v1::ClientContext;

constexpr char kApiVersion[] = "stele.dev/v1";
constexpr char kKind[] = "ClientConfig";
constexpr char kMakeOne[] = "make one with `osctl gen node` or `osctl context add`";

std::string DirectoryOf(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash == 0 ? 1 : slash);
}

absl::StatusOr<std::string> PemOrFile(const std::string& value, absl::string_view what, const ClientContext& context,
                                      const std::string& config_path) {
  if (value.empty()) {
    return LocalError(absl::StrCat("context ", context.name(), " has no ", what), absl::StrCat("mend ", config_path));
  }
  if (absl::StrContains(value, "-----BEGIN ")) return value;
  std::string path = value[0] == '/' ? value : absl::StrCat(DirectoryOf(config_path), "/", value);
  absl::StatusOr<std::string> pem = ReadFile(path);
  if (!pem.ok()) {
    return LocalError(absl::StrCat("context ", context.name(), ": ", what, ": ", pem.status().message()),
                      absl::StrCat("mend ", config_path));
  }
  return pem;
}

}  // namespace

absl::StatusOr<std::string> ContextPath(const Getenv& getenv) {
  auto set = [&](const char* name) {
    const char* value = getenv(name);
    return value != nullptr && *value != '\0' ? value : nullptr;
  };
  if (const char* path = set("OSCTLCONFIG")) return std::string(path);
  if (const char* base = set("XDG_CONFIG_HOME")) return absl::StrCat(base, "/stele/config.yaml");
  if (const char* home = set("HOME")) return absl::StrCat(home, "/.config/stele/config.yaml");
  return LocalError("no place for contexts: neither OSCTLCONFIG, XDG_CONFIG_HOME nor HOME is set", "set OSCTLCONFIG");
}

absl::StatusOr<ClientConfig> LoadContexts(const std::string& path) {
  ClientConfig config;
  absl::StatusOr<std::string> yaml = ReadFile(path);
  if (absl::IsNotFound(yaml.status())) return config;
  if (!yaml.ok()) return LocalError(absl::StrCat("contexts: ", yaml.status().message()), "mend its permissions");
  // An inventory of thousands of nodes is longer than a node's configuration may be.
  stele::config::ParseOptions bounds;
  bounds.max_bytes = 16 << 20;
  bounds.max_nodes = 1'000'000;
  std::vector<stele::config::Problem> problems = stele::config::ParseYaml(*yaml, bounds, &config);
  if (problems.empty() && (config.api_version() != kApiVersion || config.kind() != kKind)) {
    problems.push_back({1, 1, "kind", absl::StrCat("expected apiVersion: ", kApiVersion, " and kind: ", kKind)});
  }
  if (problems.empty()) return config;
  return LocalError(absl::StrCat("contexts: ", path, ":",
                                 absl::StrJoin(problems, "; ",
                                               [](std::string* out, const stele::config::Problem& problem) {
                                                 out->append(stele::config::ToString(problem));
                                               })),
                    "mend the file");
}

absl::Status SaveContexts(const std::string& path, ClientConfig config) {
  config.set_api_version(kApiVersion);
  config.set_kind(kKind);
  std::string yaml = stele::config::ProtoToYaml(config, stele::config::Secrets::kPrinted);
  absl::Status made = MakeDirectories(DirectoryOf(path), 0700);
  if (made.ok()) {
    made = ReplaceFile(path, absl::StrCat("# The contexts of osctl: see `osctl context`.\n", yaml), 0600);
  }
  return made.ok() ? made : LocalError(absl::StrCat("contexts: ", made.message()), "set OSCTLCONFIG to another place");
}

absl::StatusOr<ClientContext> SelectContext(const ClientConfig& config, const std::string& name,
                                            const std::string& path) {
  std::string wanted = name.empty() ? config.current_context() : name;
  if (wanted.empty() && config.contexts_size() == 1) return config.contexts(0);
  if (config.contexts_size() == 0) return LocalError(absl::StrCat("no context in ", path), kMakeOne);
  std::vector<std::string> known;
  for (const ClientContext& context : config.contexts()) {
    if (context.name() == wanted) return context;
    known.push_back(context.name());
  }
  std::string list = absl::StrJoin(known, ", ");
  if (wanted.empty()) {
    return LocalError(absl::StrCat("no current context in ", path),
                      absl::StrCat("choose with --context or `osctl context use`: ", list));
  }
  return LocalError(absl::StrCat("no context '", wanted, "' in ", path, DidYouMean(wanted, known)),
                    absl::StrCat("known are ", list));
}

absl::StatusOr<ClientKeys> LoadKeys(const ClientContext& context, const std::string& config_path) {
  ClientKeys keys;
  ASSIGN_OR_RETURN(keys.ca, PemOrFile(context.ca(), "ca", context, config_path));
  ASSIGN_OR_RETURN(keys.certificate, PemOrFile(context.certificate(), "certificate", context, config_path));
  ASSIGN_OR_RETURN(keys.key, PemOrFile(context.key(), "key", context, config_path));
  keys.server_name = context.server_name();
  return keys;
}

void PutContext(ClientConfig* config, ClientContext context) {
  if (config->current_context().empty()) config->set_current_context(context.name());
  for (ClientContext& existing : *config->mutable_contexts()) {
    if (existing.name() == context.name()) {
      existing = std::move(context);
      return;
    }
  }
  *config->add_contexts() = std::move(context);
}

}  // namespace stele::osctl
