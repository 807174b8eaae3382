#include "config/sink_endpoint.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "config/check_name.h"

namespace stele::config {

absl::StatusOr<SinkEndpoint> ParseSinkEndpoint(absl::string_view text) {
  absl::Status wrong = absl::InvalidArgumentError(
      "expected tcp://HOST:PORT, tls://HOST:PORT or udp://HOST:PORT, such as "
      "tls://logs.example.org:6514");
  SinkEndpoint endpoint;
  for (absl::string_view protocol : {"tcp", "tls", "udp"}) {
    absl::string_view rest = text;
    if (absl::ConsumePrefix(&rest, protocol) && absl::ConsumePrefix(&rest, "://")) {
      endpoint.protocol = std::string(protocol);
      text = rest;
    }
  }
  size_t colon = text.rfind(':');
  if (endpoint.protocol.empty() || colon == absl::string_view::npos) return wrong;
  absl::string_view host = text.substr(0, colon), port = text.substr(colon + 1);
  // An IPv6 address stands in brackets, and nothing else does.
  bool bracketed = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  uint32_t number = 0;
  bool good_port =
      !port.empty() && absl::ascii_isdigit(port[0]) && absl::SimpleAtoi(port, &number) && number > 0 && number < 65536;
  bool good_host = CheckHost(host).empty() && bracketed == absl::StrContains(host, ':');
  if (!good_port || !good_host) return wrong;
  endpoint.host = std::string(host);
  endpoint.port = static_cast<uint16_t>(number);
  return endpoint;
}

}  // namespace stele::config
