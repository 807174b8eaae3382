#include "machined/dhcp_report.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "machined/ip_prefix.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxLines = 256;
constexpr size_t kMaxName = 64;
constexpr size_t kMaxInterface = 15;
constexpr int kMaxServers = 8;
constexpr int kMaxRoutes = 32;
constexpr uint32_t kForever = 0xffffffff;

bool IsInterfaceName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxInterface && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](char c) { return absl::ascii_isgraph(c) && c != '/' && c != ':'; });
}

bool IsVariableName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxName &&
         std::all_of(name.begin(), name.end(), [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

std::string ValueOf(const DhcpReport& report, const std::string& name) {
  auto found = report.values.find(name);
  return found == report.values.end() ? "" : found->second;
}

bool IsIpv4(absl::string_view text) {
  absl::StatusOr<std::string> bytes = ParseIpAddress(text);
  return bytes.ok() && bytes->size() == 4;
}

// The words of an option that are what they should be.
std::vector<std::string> GoodWords(const std::string& value, bool (*good)(absl::string_view), int most) {
  std::vector<std::string> words;
  for (absl::string_view word : absl::StrSplit(value, ' ', absl::SkipEmpty())) {
    if (good(word) && static_cast<int>(words.size()) < most) words.emplace_back(word);
  }
  return words;
}

// "10.0.0.0/8 192.0.2.1 0.0.0.0/0 192.0.2.1" as "10.0.0.0/8 192.0.2.1", "default 192.0.2.1".
std::vector<std::string> ClasslessRoutes(const std::string& value) {
  std::vector<std::string> words = absl::StrSplit(value, ' ', absl::SkipEmpty());
  std::vector<std::string> routes;
  for (size_t i = 0; i + 1 < words.size() && routes.size() < kMaxRoutes; i += 2) {
    absl::StatusOr<IpPrefix> destination = ParseIpPrefix(words[i]);
    if (!destination.ok() || destination->family != AF_INET || !IsIpv4(words[i + 1])) return {};
    routes.push_back(absl::StrCat(destination->length == 0 ? "default" : FormatIpPrefix(NetworkOf(*destination)), " ",
                                  words[i + 1]));
  }
  return routes;
}

}  // namespace

bool IsHostname(absl::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  for (absl::string_view label : absl::StrSplit(name, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    if (!std::all_of(label.begin(), label.end(), [](char c) { return absl::ascii_isalnum(c) || c == '-'; }))
      return false;
  }
  return true;
}

absl::StatusOr<DhcpReport> ParseDhcpReport(absl::string_view datagram) {
  if (datagram.size() > kMaxDhcpReport) return absl::InvalidArgumentError("DHCP report: too long");
  if (datagram.find('\0') != absl::string_view::npos) return absl::InvalidArgumentError("DHCP report: has a NUL");
  DhcpReport report;
  size_t lines = 0;
  for (absl::string_view line : absl::StrSplit(datagram, '\n', absl::SkipEmpty())) {
    if (++lines > kMaxLines) return absl::InvalidArgumentError("DHCP report: too many lines");
    std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits('=', 1));
    if (parts.first.size() == line.size() || !IsVariableName(parts.first)) {
      return absl::InvalidArgumentError("DHCP report: a line is no NAME=value");
    }
    std::string name(parts.first);
    if (name == "interface") {
      report.interface = std::string(parts.second);
    } else if (name == "reason") {
      report.reason = std::string(parts.second);
    } else {
      report.values[name] = std::string(parts.second);
    }
  }
  if (!IsInterfaceName(report.interface)) return absl::InvalidArgumentError("DHCP report: no interface");
  if (!IsVariableName(report.reason)) return absl::InvalidArgumentError("DHCP report: no reason");
  return report;
}

LeaseChange LeaseChangeOf(const DhcpReport& report) {
  for (absl::string_view reason : {"BOUND", "RENEW", "REBIND", "REBOOT"}) {
    if (report.reason == reason) return LeaseChange::kHave;
  }
  // STOP and STOPPED are not here: a client that is restarted would take the network down with it.
  for (absl::string_view reason : {"EXPIRE", "NAK", "RELEASE", "DEPARTED"}) {
    if (report.reason == reason) return LeaseChange::kLost;
  }
  return LeaseChange::kNone;
}

absl::StatusOr<resource::v1::DhcpLease> LeaseOf(const DhcpReport& report) {
  absl::StatusOr<IpPrefix> address =
      ParseIpPrefix(absl::StrCat(ValueOf(report, "new_ip_address"), "/", ValueOf(report, "new_subnet_cidr")));
  if (!address.ok() || address->family != AF_INET || address->length == 0) {
    return absl::InvalidArgumentError(absl::StrCat("DHCP report of ", report.interface, ": no usable address"));
  }
  resource::v1::DhcpLease lease;
  lease.set_address(FormatIpPrefix(*address));
  for (const std::string& router : GoodWords(ValueOf(report, "new_routers"), &IsIpv4, 1)) lease.set_gateway(router);
  for (const std::string& server : GoodWords(ValueOf(report, "new_dhcp_server_identifier"), &IsIpv4, 1))
    lease.set_server(server);
  uint32_t seconds = 0;
  if (absl::SimpleAtoi(ValueOf(report, "new_dhcp_lease_time"), &seconds) && seconds != 0 && seconds != kForever) {
    lease.mutable_lease_time()->set_seconds(seconds);
  }
  for (std::string& word : GoodWords(ValueOf(report, "new_domain_name_servers"), &IsIpv4, kMaxServers))
    lease.add_servers(word);
  for (std::string& word : GoodWords(ValueOf(report, "new_ntp_servers"), &IsIpv4, kMaxServers))
    lease.add_time_servers(word);
  std::string domains = ValueOf(report, "new_domain_search");
  if (domains.empty()) domains = ValueOf(report, "new_domain_name");
  for (std::string& word : GoodWords(domains, &IsHostname, kMaxServers)) lease.add_search(word);
  if (std::string name = ValueOf(report, "new_host_name"); IsHostname(name)) lease.set_hostname(name);
  for (std::string& route : ClasslessRoutes(ValueOf(report, "new_classless_static_routes"))) lease.add_routes(route);
  return lease;
}

}  // namespace stele::machined
