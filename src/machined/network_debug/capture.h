// Capture: packets of an interface as the chunks of a pcap file. On a thread of its own.
#pragma once

#include <functional>
#include <string>

#include "machined/network_debug/stop.h"
#include "stele/machine/v1/network_service.pb.h"

namespace stele::machined {

inline constexpr uint16_t kApiPort = 50'000;

// Records until a limit is reached: OK. `peer` is the client's end of the API connection, "192.0.2.7:4711", or empty.
// `tell` gets every response and answers false when nobody wants more. INVALID_ARGUMENT for a request out of bounds
// or a wrong filter, NOT_FOUND for an interface that is not there, CANCELLED when stopped.
absl::Status Capture(const machine::v1::CaptureRequest& request, const std::string& peer, const Stop& stop,
                     const std::function<bool(const machine::v1::CaptureResponse&)>& tell);

}  // namespace stele::machined
