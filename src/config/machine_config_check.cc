#include "config/machine_config_check.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/narrow_roles.h"
#include "config/check_address.h"
#include "config/check_name.h"
#include "config/check_pem.h"
#include "config/sink_endpoint.h"
#include "config/yaml_outline.h"
#include "stele/method_table.h"

namespace stele::config {
namespace {

using google::protobuf::RepeatedPtrField;

constexpr int kMaxLogSinks = 4;

class Checker {
 public:
  // `of_a_newer_version`: names that this one does not know may be that one's, and are no problem.
  Checker(const v1::MachineConfig& config, const MarkMap& marks, bool of_a_newer_version)
      : config_(config), marks_(marks), of_a_newer_version_(of_a_newer_version) {}

  std::vector<Problem> Check() {
    if (config_.api_version() != "stele.dev/v1") Report("apiVersion", "expected stele.dev/v1");
    if (config_.kind() != "MachineConfig") Report("kind", "expected MachineConfig");
    CheckApi();
    CheckNetwork();
    CheckEach("time.servers", config_.time().servers(), CheckHost);
    if (!config_.storage().disk().empty()) Judge("storage.disk", CheckDiskPath(config_.storage().disk()));
    CheckKubelet();
    if (config_.has_install()) CheckInstall();
    if (config_.upgrade().deadline() != 0 &&
        (config_.upgrade().deadline() < 60 || config_.upgrade().deadline() > 3600)) {
      Report("upgrade.deadline", "expected 60 to 3600 seconds");
    }
    if (config_.upgrade().drain_timeout() > 3600) Report("upgrade.drainTimeout", "expected at most 3600 seconds");
    CheckLogging();
    SortProblems(&problems_);
    return std::move(problems_);
  }

 private:
  void Report(const std::string& path, std::string reason) {
    // The nearest thing around it that was written.
    Mark mark;
    for (std::string at = path; mark.line == 0 && !at.empty();) {
      auto found = marks_.find(at);
      if (found != marks_.end()) mark = found->second;
      size_t cut = at.find_last_of(".[");
      at = cut == std::string::npos ? "" : at.substr(0, cut);
    }
    if (problems_.size() < 8 * kMaxProblems) problems_.push_back({mark.line, mark.column, path, std::move(reason)});
  }
  void Judge(const std::string& path, std::string wrong) {
    if (!wrong.empty()) Report(path, std::move(wrong));
  }
  template <typename CheckOne>
  void CheckEach(const std::string& path, const RepeatedPtrField<std::string>& values, CheckOne check) {
    for (int i = 0; i < values.size(); ++i) Judge(absl::StrCat(path, "[", i, "]"), check(values[i]));
  }
  static std::string ExpectAddress(const std::string& text) {
    return IsAddress(text) ? "" : "expected an address, such as 192.0.2.1";
  }

  void CheckApi() {
    const v1::ApiConfig& api = config_.api();
    Judge("api.clientCA", CheckCaPem(api.client_ca()));
    std::string certificate = CheckServerCertificatePem(api.certificate());
    std::string key = CheckKeyPem(api.key());
    Judge("api.certificate", certificate);
    Judge("api.key", key);
    if (certificate.empty() && key.empty() && !KeyMatches(api.key(), api.certificate())) {
      Report("api.key", "is not the key of api.certificate");
    }
    if (api.roles_size() > kMaxRoles) Report("api.roles", absl::StrCat("expected at most ", kMaxRoles, " roles"));
    std::set<std::string> names;
    for (int i = 0; i < std::min(api.roles_size(), kMaxRoles); ++i) {
      std::string path = absl::StrCat("api.roles[", i, "]");
      CheckRole(path, api.roles(i));
      if (!names.insert(api.roles(i).name()).second) {
        Report(path + ".name", absl::StrCat("there is another role '", api.roles(i).name(), "'"));
      }
    }
  }

  void CheckRole(const std::string& path, const v1::RoleConfig& role) {
    Judge(path + ".name", CheckDnsLabel(role.name()));
    if (IsWideRole(role.name()) || FindNarrowRole(role.name()) != nullptr) {
      Report(path + ".name", absl::StrCat("every node has a role ", role.name(), ", which cannot be changed"));
    }
    if (role.methods_size() > kMaxOfARole) Report(path + ".methods", absl::StrCat("expected at most ", kMaxOfARole));
    if (role.resources_size() > kMaxOfARole)
      Report(path + ".resources", absl::StrCat("expected at most ", kMaxOfARole));
    CheckEach(path + ".methods", role.methods(), [this](const std::string& pattern) {
      bool fits = std::any_of(std::begin(kMethods), std::end(kMethods),
                              [&](const Method& method) { return MethodFits(pattern, method.path); });
      if (fits || (of_a_newer_version_ && IsMethodPattern(pattern))) return std::string();
      return absl::StrCat("expected Service.Method or Service.*, such as LogService.ReadLog; no method is '",
                          pattern.substr(0, 80), "'");
    });
    CheckEach(path + ".resources", role.resources(), [this](const std::string& type) {
      bool known = std::binary_search(std::begin(kResourceTypes), std::end(kResourceTypes), absl::string_view(type));
      if (known || type == "*" || (of_a_newer_version_ && CheckDnsLabel(type).empty())) return std::string();
      return absl::StrCat("expected a resource type as in `osctl get types`, or \"*\"; none is '", type.substr(0, 80),
                          "'");
    });
  }

  // Letters and digits around a dot, or before ".*": what apid's file can hold.
  static bool IsMethodPattern(absl::string_view pattern) {
    size_t dot = pattern.find('.');
    if (dot == absl::string_view::npos) return false;
    absl::string_view service = pattern.substr(0, dot), method = pattern.substr(dot + 1);
    auto is_word = [](absl::string_view word) {
      return !word.empty() && word.size() <= 64 && std::all_of(word.begin(), word.end(), absl::ascii_isalnum);
    };
    return is_word(service) && (method == "*" || is_word(method));
  }

  void CheckNetwork() {
    const v1::NetworkConfig& network = config_.network();
    if (!network.hostname().empty()) {
      Judge("network.hostname", CheckDnsName(network.hostname()));
      if (network.hostname() == "localhost") Report("network.hostname", "must not be localhost");
    }
    std::set<std::string> names;
    bool reachable = network.interfaces().empty();  // then every link with a carrier asks DHCP
    for (int i = 0; i < network.interfaces_size(); ++i) {
      const v1::InterfaceConfig& interface = network.interfaces(i);
      std::string path = absl::StrCat("network.interfaces[", i, "]");
      CheckInterface(path, interface);
      if (!names.insert(interface.name()).second) {
        Report(path + ".name", absl::StrCat("there is another interface '", interface.name(), "'"));
      }
      reachable |= interface.dhcp() || interface.addresses_size() > 0;
    }
    if (!reachable)
      Report("network.interfaces", "leaves the node without an address: give one interface dhcp or addresses");
    CheckEach("network.nameservers", network.nameservers(), ExpectAddress);
    CheckEach("network.search", network.search(), CheckDnsName);
  }

  void CheckInterface(const std::string& path, const v1::InterfaceConfig& interface) {
    Judge(path + ".name", CheckLinkName(interface.name()));
    CheckEach(path + ".addresses", interface.addresses(), CheckInterfaceAddress);
    std::set<std::string> seen;
    for (int i = 0; i < interface.addresses_size(); ++i) {
      std::string address = absl::StrCat(path, ".addresses[", i, "]");
      std::optional<Network> parsed = ParseNetwork(interface.addresses(i));
      if (interface.dhcp() && parsed.has_value() && !parsed->ipv6) {
        Report(address, "an IPv4 address of one's own and dhcp exclude each other");
      }
      if (!seen.insert(interface.addresses(i)).second) Report(address, "is there twice");
    }
    for (int i = 0; i < interface.routes_size(); ++i) {
      CheckRoute(absl::StrCat(path, ".routes[", i, "]"), interface.routes(i), interface);
    }
    if (interface.mtu() != 0 && (interface.mtu() < 576 || interface.mtu() > 65535)) {
      Report(path + ".mtu", "expected 576 to 65535");
    }
  }

  void CheckRoute(const std::string& path, const v1::RouteConfig& route, const v1::InterfaceConfig& interface) {
    std::optional<Network> to = ParseNetwork(route.to());
    if (route.to() != "default" && !to.has_value()) {
      Report(path + ".to", "expected a network with its prefix length, such as 198.51.100.0/24, or default");
    }
    if (route.via().empty()) {
      if (route.to() == "default") Report(path + ".to", "a default route needs a gateway: add via");
      return;
    }
    std::optional<Network> via = ParseAddress(route.via());
    if (!via.has_value()) return Report(path + ".via", "expected the gateway's address");
    if (to.has_value() && to->ipv6 != via->ipv6) return Report(path + ".via", "IPv4 and IPv6 are mixed in one route");
    bool link_local = via->ipv6 && Contains(*ParseNetwork("fe80::/10"), *via);
    bool reachable = interface.dhcp() || link_local;
    for (const std::string& address : interface.addresses()) {
      std::optional<Network> network = ParseNetwork(address);
      reachable |= network.has_value() && Contains(*network, *via);
    }
    if (!reachable) Report(path + ".via", "lies in none of the networks of this interface's addresses");
  }

  void CheckKubelet() {
    const v1::KubeletConfig& kubelet = config_.kubelet();
    if (!kubelet.kubeconfig().empty()) CheckKubeconfig(kubelet.kubeconfig());
    if (kubelet.has_bootstrap()) {
      if (!kubelet.kubeconfig().empty()) Report("kubelet.bootstrap", "exclude each other: kubeconfig and bootstrap");
      Judge("kubelet.bootstrap.server", CheckHttpsUrl(kubelet.bootstrap().server()));
      Judge("kubelet.bootstrap.ca", CheckCaPem(kubelet.bootstrap().ca()));
      Judge("kubelet.bootstrap.token", CheckBootstrapToken(kubelet.bootstrap().token()));
    }
    CheckEach("kubelet.clusterDNS", kubelet.cluster_dns(), ExpectAddress);
    if (!kubelet.cluster_domain().empty()) Judge("kubelet.clusterDomain", CheckDnsName(kubelet.cluster_domain()));
    for (const auto& [name, value] : kubelet.node_labels()) {
      std::string wrong = CheckNodeLabelName(name);
      Judge("kubelet.nodeLabels." + name, wrong.empty() ? CheckLabelValue(value) : wrong);
    }
    if (!kubelet.node_ip().empty()) Judge("kubelet.nodeIP", ExpectAddress(kubelet.node_ip()));
    std::set<std::string> names;
    for (int i = 0; i < kubelet.static_pods_size(); ++i) {
      std::string path = absl::StrCat("kubelet.staticPods[", i, "]");
      const std::string& name = kubelet.static_pods(i).name();
      Judge(path + ".name", CheckDnsLabel(name));
      if (!names.insert(name).second) Report(path + ".name", absl::StrCat("there is another static pod '", name, "'"));
      CheckPod(path + ".manifest", kubelet.static_pods(i).manifest());
    }
  }

  void CheckInstall() {
    const v1::DiskSelector& disk = config_.install().disk();
    if (!disk.path().empty()) Judge("install.disk.path", CheckDiskPath(disk.path()));
    for (const auto& [name, value] :
         {std::pair("serial", disk.serial()), std::pair("model", disk.model()), std::pair("wwid", disk.wwid())}) {
      if (!value.empty()) Judge(absl::StrCat("install.disk.", name), CheckDiskIdentity(value));
    }
    if (disk.max_size() != 0 && disk.max_size() < disk.min_size())
      Report("install.disk.maxSize", "is less than minSize");
    if (disk.path().empty() && disk.serial().empty() && disk.model().empty() && disk.wwid().empty() &&
        disk.min_size() == 0 && disk.max_size() == 0) {
      Report("install.disk", "names no disk: give its path, serial, model, wwid or size");
    }
    // An installed node finds its disk by itself; until then the disk must not be used.
    if (!config_.storage().disk().empty()) Report("storage.disk", "exclude each other: install and storage.disk");
  }

  void CheckLogging() {
    const auto& sinks = config_.logging().sinks();
    if (sinks.size() > kMaxLogSinks) Report("logging.sinks", absl::StrCat("at most ", kMaxLogSinks, " sinks"));
    std::set<std::string> names;
    for (int i = 0; i < sinks.size(); ++i) {
      std::string path = absl::StrCat("logging.sinks[", i, "]");
      Judge(path + ".name", CheckDnsLabel(sinks[i].name()));
      if (!names.insert(sinks[i].name()).second) Report(path + ".name", "is the name of another sink, too");
      CheckLogSink(path, sinks[i]);
    }
  }

  void CheckLogSink(const std::string& path, const v1::LogSinkConfig& sink) {
    absl::StatusOr<SinkEndpoint> endpoint = ParseSinkEndpoint(sink.endpoint());
    if (!endpoint.ok()) Report(path + ".endpoint", std::string(endpoint.status().message()));
    bool json = sink.format().empty() || sink.format() == "json";
    if (!json && sink.format() != "rfc5424") Report(path + ".format", "expected json or rfc5424");
    if (json && endpoint.ok() && endpoint->protocol == "udp")
      Report(path + ".format", "lines of JSON need a stream: tcp or tls, or rfc5424 over udp");
    for (int i = 0; i < sink.sources_size(); ++i) {
      Judge(absl::StrCat(path, ".sources[", i, "]"), CheckDnsLabel(sink.sources(i)));
    }
    bool tls = endpoint.ok() && endpoint->protocol == "tls";
    for (const auto& [name, value] :
         {std::pair("ca", sink.ca()), std::pair("certificate", sink.certificate()), std::pair("key", sink.key())}) {
      if (endpoint.ok() && !tls && !value.empty())
        Report(absl::StrCat(path, ".", name), "is for tls, and the endpoint is not");
    }
    if (!sink.ca().empty()) Judge(path + ".ca", CheckCaPem(sink.ca()));
    if (sink.certificate().empty() != sink.key().empty())
      return Report(path, "has one of certificate and key: both belong together");
    if (sink.certificate().empty()) return;
    std::string certificate = CheckClientCertificatePem(sink.certificate());
    std::string key = CheckKeyPem(sink.key());
    Judge(path + ".certificate", certificate);
    Judge(path + ".key", key);
    if (certificate.empty() && key.empty() && !KeyMatches(sink.key(), sink.certificate()))
      Report(path + ".key", "is not the key of the certificate");
  }

  // True when the inner text is YAML. Its lines count from its own first.
  bool CheckInner(const std::string& path, const YamlOutline& outline) {
    if (outline.ok()) return true;
    Report(path, absl::StrCat("line ", outline.problem.line, " of it: ", outline.problem.reason));
    return false;
  }

  void CheckKubeconfig(const std::string& text) {
    constexpr char kPath[] = "kubelet.kubeconfig";
    YamlOutline outline = ReadYamlOutline(text);
    if (!CheckInner(kPath, outline)) return;
    if (outline.Get("kind") != "Config") return Report(kPath, "expected a kubeconfig: kind is not Config");
    if (outline.Get("clusters[0].cluster.server").empty()) Report(kPath, "names no cluster's server");
    if (outline.Get("current-context").empty()) Report(kPath, "has no current-context");
  }

  void CheckPod(const std::string& path, const std::string& manifest) {
    YamlOutline outline = ReadYamlOutline(manifest);
    if (!CheckInner(path, outline)) return;
    if (outline.Get("kind") != "Pod") return Report(path, "expected a Pod: kind is not Pod");
    if (outline.Get("apiVersion") != "v1") Report(path, "expected apiVersion v1");
    Judge(path, outline.Get("metadata.name").empty() ? "the Pod has no metadata.name" : "");
    if (!outline.Get("metadata.name").empty()) {
      std::string wrong = CheckDnsName(outline.Get("metadata.name"));
      if (!wrong.empty()) Report(path, absl::StrCat("metadata.name: ", wrong));
    }
    if (outline.Get("spec.containers[0].name").empty()) Report(path, "the Pod has no container with a name");
    if (outline.Get("spec.containers[0].image").empty()) Report(path, "the Pod's first container has no image");
  }

  static constexpr int kMaxRoles = 32, kMaxOfARole = 64;
  const v1::MachineConfig& config_;
  const MarkMap& marks_;
  const bool of_a_newer_version_;
  std::vector<Problem> problems_;
};

}  // namespace

std::vector<Problem> ValidateMachineConfig(const v1::MachineConfig& config, const MarkMap& marks,
                                           bool of_a_newer_version) {
  return Checker(config, marks, of_a_newer_version).Check();
}

ParsedMachineConfig ParseMachineConfig(absl::string_view yaml, const ParseOptions& options) {
  ParsedMachineConfig parsed;
  auto config = std::make_shared<v1::MachineConfig>();
  MarkMap marks;
  parsed.problems = ParseYaml(yaml, options, config.get(), &parsed.warnings, &marks);
  // What was not understood would be judged as missing: one list of problems at a time.
  if (parsed.problems.empty()) {
    parsed.problems = ValidateMachineConfig(*config, marks, options.tolerate_unknown_keys);
  }
  if (parsed.problems.empty()) parsed.config = std::move(config);
  return parsed;
}

}  // namespace stele::config
