// What the DHCP client tells of its work, as lines of NAME=value, and the lease in it.
//
// dhcpcd runs our applet dhcp-report as its hook, which sends the variables of dhcpcd-run-hooks(8)
// as one datagram. Half of the values were chosen by whoever answers DHCP on the network: each is
// checked for what it should be before anything is made of it.
#pragma once

#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "stele/resource/v1/network.pb.h"

namespace stele::machined {

inline constexpr size_t kMaxDhcpReport = 16 * 1024;

struct DhcpReport {
  std::string interface;
  std::string reason;
  std::map<std::string, std::string> values;  // the rest: new_ip_address …
};

// INVALID_ARGUMENT where it is no report: bounds, names, a missing interface or reason.
absl::StatusOr<DhcpReport> ParseDhcpReport(absl::string_view datagram);

// What a report means for the lease of its interface.
enum class LeaseChange {
  kNone,  // on the way, or the client ends: a lease outlives the client that asked for it
  kHave,  // LeaseOf it
  kLost,
};
LeaseChange LeaseChangeOf(const DhcpReport& report);

// The lease, without `obtained`. An option that is malformed is left out; without a good address
// there is no lease (INVALID_ARGUMENT).
absl::StatusOr<resource::v1::DhcpLease> LeaseOf(const DhcpReport& report);

// RFC 1123: what a host or a domain may be called.
bool IsHostname(absl::string_view name);

}  // namespace stele::machined
