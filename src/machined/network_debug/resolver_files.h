// /etc/resolv.conf and /etc/hosts, as programs on the node read them. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "machined/network_debug/socket_address.h"

namespace stele::machined {

struct ResolverFiles {
  std::string resolv_conf = "/etc/resolv.conf";
  std::string hosts = "/etc/hosts";
};

struct Resolver {
  std::vector<SocketAddress> servers;  // at most three: more are not asked by anybody
  std::vector<std::string> search;     // at most six
  uint32_t dots = 1;                   // names with fewer are tried with the search list first
};

Resolver ParseResolvConf(absl::string_view text);

// The addresses that /etc/hosts has for `name`, and the names that it has for an address.
std::vector<SocketAddress> HostsAddresses(absl::string_view hosts, absl::string_view name);
std::vector<std::string> HostsNames(absl::string_view hosts, const SocketAddress& address);

// The whole names that `name` may stand for, in the order in which they are asked for. A final dot ends the search.
std::vector<std::string> CandidatesOf(absl::string_view name, const Resolver& resolver);

}  // namespace stele::machined
