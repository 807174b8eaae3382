// TraceRoute: packets that may pass one router more each time. On a thread of its own.
#pragma once

#include <functional>

#include "machined/network_debug/resolve.h"
#include "machined/network_debug/stop.h"
#include "stele/machine/v1/network_service.pb.h"

namespace stele::machined {

// Looks the host up and tells of each hop, until the host answered or the last hop was asked: OK. As Ping else.
absl::Status TraceRoute(const machine::v1::TraceRouteRequest& request, const ResolverFiles& files, const Stop& stop,
                        const std::function<bool(const machine::v1::TraceRouteResponse&)>& tell);

}  // namespace stele::machined
