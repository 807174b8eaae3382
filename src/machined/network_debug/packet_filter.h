// Which packets a capture takes: an expression in words that tcpdump knows too, and the classic BPF program that it
// becomes (docs/decisions/capture-filter.md). Pure.
//
//   filter    = { primitive | "not" filter | "(" filter ")" } joined by "and", or by "or"; mixed only with parentheses
//   primitive = PROTOCOL | [PROTOCOL] [src|dst] host ADDRESS | [PROTOCOL] [src|dst] net ADDRESS/LENGTH
//             | [tcp|udp|sctp] [src|dst] port N | … portrange N-M | [ip|ip6] proto N
//   PROTOCOL  = ip ip6 arp tcp udp sctp icmp icmp6
#pragma once

#include <linux/filter.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "machined/ip_prefix.h"

namespace stele::machined {

inline constexpr size_t kMaxFilterText = 1000;

// A filter as a tree over tests of one value each.
struct PacketFilter;
using FilterPtr = std::unique_ptr<PacketFilter>;
struct PacketFilter {
  enum class Kind : uint8_t { kTrue, kAnd, kOr, kNot, kTest };
  Kind kind = Kind::kTrue;
  FilterPtr left, right;
  // Of a test: loads a value into A, and holds where `jump` (BPF_JEQ, BPF_JGE, BPF_JGT) does with `operand`. A load
  // past the packet's end refuses the packet, whatever else the filter says, as in every BPF program.
  std::vector<sock_filter> load;
  uint16_t jump = 0;
  uint32_t operand = 0;
};

enum class Direction : uint8_t { kEither, kSource, kDestination };
enum class Transport : uint8_t { kTcp = 6, kUdp = 17, kSctp = 132 };

// INVALID_ARGUMENT says where in the text what is wrong. Empty text takes everything.
absl::StatusOr<FilterPtr> ParseFilter(absl::string_view text);

FilterPtr And(FilterPtr left, FilterPtr right);
FilterPtr Or(FilterPtr left, FilterPtr right);
FilterPtr Not(FilterPtr filter);
FilterPtr AnyPacket();
// EtherType: what comes after the link's header, VLAN tags left out.
FilterPtr EtherType(uint16_t type);
// The protocol in an IPv4 header, or next to an IPv6 one.
FilterPtr IpProtocol(int family, uint8_t protocol);
FilterPtr Network(Direction direction, const IpPrefix& network);
FilterPtr Ports(const std::vector<Transport>& transports, Direction direction, uint16_t first, uint16_t last);
// What leaves by this interface.
FilterPtr SentBy(uint32_t interface_index);

// The program: `snap_length` bytes of what `filter` takes. RESOURCE_EXHAUSTED when it has more instructions than the
// kernel takes. Loads are relative to the network header, so one program fits every kind of link.
absl::StatusOr<std::vector<sock_filter>> CompileFilter(const PacketFilter& filter, uint32_t snap_length);

}  // namespace stele::machined
