// Ping: ICMP echo, one request after the other. On a thread of its own.
#pragma once

#include <functional>

#include "machined/network_debug/resolve.h"
#include "machined/network_debug/stop.h"
#include "stele/machine/v1/network_service.pb.h"

namespace stele::machined {

// Looks the host up and asks it until the count is reached or half an hour is over: OK. `tell` gets every response and
// answers false when nobody wants more. CANCELLED when stopped.
absl::Status Ping(const machine::v1::PingRequest& request, const ResolverFiles& files, const Stop& stop,
                  const std::function<bool(const machine::v1::PingResponse&)>& tell);

}  // namespace stele::machined
