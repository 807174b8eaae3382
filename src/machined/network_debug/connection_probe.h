// Probe: does a TCP port take connections, does a web server answer, how long does each step take. On a thread of its
// own.
#pragma once

#include "machined/network_debug/resolve.h"
#include "machined/network_debug/stop.h"
#include "stele/machine/v1/network_service.pb.h"

namespace stele::machined {

// INVALID_ARGUMENT for a request out of bounds, CANCELLED when stopped. What fails on the network is in the response.
absl::StatusOr<machine::v1::ProbeResponse> ProbeConnection(const machine::v1::ProbeRequest& request,
                                                           const ResolverFiles& files, const Stop& stop);

struct WebTarget {
  bool tls = false;
  std::string authority;  // for the Host header
  HostPort where;
  std::string path;  // with the query, from "/" on
};
// Pure. INVALID_ARGUMENT: http:// or https://, a host, printable ASCII, no user or password.
absl::StatusOr<WebTarget> ParseWebUrl(absl::string_view url);

// The status line at the beginning of what a server sent: nothing until it is whole, INVALID_ARGUMENT when it is none.
// Pure.
absl::StatusOr<absl::optional<std::string>> StatusLine(absl::string_view bytes);

}  // namespace stele::machined
