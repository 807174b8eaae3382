// One DNS question to one server: UDP, then TCP when the answer was cut.
#pragma once

#include "machined/network_debug/dns_message.h"
#include "machined/network_debug/socket_address.h"
#include "machined/network_debug/stop.h"

namespace stele::machined {

struct DnsReply {
  DnsAnswer answer;
  bool tcp = false;
};

// DEADLINE_EXCEEDED, UNAVAILABLE and the like say why there is none. `deadline` in Uptime().
absl::StatusOr<DnsReply> AskDns(const SocketAddress& server, const std::string& name, DnsType type,
                                absl::Duration deadline, const Stop& stop);

}  // namespace stele::machined
