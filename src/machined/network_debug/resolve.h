// Names to addresses, as programs on the node find them, with each step told. getaddrinfo would tell none of it, and
// could be neither stopped nor bounded.
#pragma once

#include "machined/network_debug/resolver_files.h"
#include "machined/network_debug/socket_address.h"
#include "machined/network_debug/stop.h"
#include "stele/machine/v1/network_service.pb.h"

namespace stele::machined {

// INVALID_ARGUMENT for a request out of bounds, FAILED_PRECONDITION without a name server, CANCELLED when stopped.
// What servers say, or do not, is in the response.
absl::StatusOr<machine::v1::ResolveResponse> Resolve(const machine::v1::ResolveRequest& request,
                                                     const ResolverFiles& files, const Stop& stop);

// Where to send to for `host`: an address, or a name's. Of several an IPv6 one that there is a route to, else an IPv4
// one; of `source`'s family if it has one. NOT_FOUND when the name has none, UNAVAILABLE when no server answers.
absl::StatusOr<SocketAddress> FindHost(const std::string& host, uint16_t port, machine::v1::IpFamily family,
                                       const Source& source, const ResolverFiles& files, const Stop& stop);

}  // namespace stele::machined
