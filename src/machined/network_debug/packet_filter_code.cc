// Filters as trees, and trees as classic BPF.
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "machined/network_debug/packet_filter.h"

namespace stele::machined {
namespace {

using Kind = PacketFilter::Kind;

// Within the network header, which the kernel knows whatever the link is.
constexpr uint32_t Net(uint32_t offset) { return static_cast<uint32_t>(SKF_NET_OFF) + offset; }
constexpr uint32_t Aside(uint32_t what) { return static_cast<uint32_t>(SKF_AD_OFF) + what; }

constexpr uint32_t kIp4Source = 12, kIp4Destination = 16;
constexpr uint32_t kArpSender = 14, kArpTarget = 24;
constexpr uint32_t kIp6Source = 8, kIp6Destination = 24;
constexpr uint32_t kIp4Fragment = 6, kIp4Protocol = 9, kIp6Next = 6;
constexpr uint32_t kIp6Header = 40;

constexpr sock_filter Load(uint16_t size, uint32_t at) {
  return {static_cast<uint16_t>(BPF_LD | BPF_ABS | size), 0, 0, at};
}

FilterPtr Join(Kind kind, FilterPtr left, FilterPtr right) {
  auto filter = std::make_unique<PacketFilter>();
  filter->kind = kind;
  filter->left = std::move(left);
  filter->right = std::move(right);
  return filter;
}

FilterPtr Test(std::vector<sock_filter> load, uint16_t jump, uint32_t operand) {
  auto filter = std::make_unique<PacketFilter>();
  filter->kind = Kind::kTest;
  filter->load = std::move(load);
  filter->jump = jump;
  filter->operand = operand;
  return filter;
}

// The address at `at` is in the network: its words one by one.
FilterPtr AddressAt(uint32_t at, const IpPrefix& network) {
  FilterPtr all;
  for (uint32_t word = 0; word < network.bytes.size() / 4; ++word) {
    int bits = std::min<int>(32, network.length - static_cast<int>(word) * 32);
    if (bits <= 0) break;
    uint32_t value = 0;
    for (uint32_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(network.bytes[size_t{word} * 4 + i]);
    std::vector<sock_filter> load = {Load(BPF_W, Net(at + word * 4))};
    uint32_t mask = 0xffffffffu << (32 - bits);
    if (bits < 32) load.push_back({BPF_ALU | BPF_AND | BPF_K, 0, 0, mask});
    FilterPtr test = Test(std::move(load), BPF_JEQ, value & mask);
    if (all == nullptr) {
      all = std::move(test);
    } else {
      all = And(std::move(all), std::move(test));
    }
  }
  if (all == nullptr) all = AnyPacket();
  return all;
}

FilterPtr EitherAddress(Direction direction, uint32_t source, uint32_t destination, const IpPrefix& network) {
  if (direction == Direction::kSource) return AddressAt(source, network);
  if (direction == Direction::kDestination) return AddressAt(destination, network);
  return Or(AddressAt(source, network), AddressAt(destination, network));
}

FilterPtr InRange(const std::vector<sock_filter>& load, uint16_t first, uint16_t last) {
  if (first == last) return Test(load, BPF_JEQ, first);
  return And(Test(load, BPF_JGE, first), Not(Test(load, BPF_JGT, last)));
}

FilterPtr EitherPort(Direction direction, const std::vector<sock_filter>& source,
                     const std::vector<sock_filter>& destination, uint16_t first, uint16_t last) {
  if (direction == Direction::kSource) return InRange(source, first, last);
  if (direction == Direction::kDestination) return InRange(destination, first, last);
  return Or(InRange(source, first, last), InRange(destination, first, last));
}

// Code with jumps forward to places that are not known yet.
class Program {
 public:
  using Label = size_t;

  Label NewLabel() {
    places_.push_back(0);
    return places_.size() - 1;
  }
  void Bind(Label label) { places_[label] = code_.size(); }

  void Emit(const PacketFilter& filter, Label yes, Label no) {
    switch (filter.kind) {
      case Kind::kTrue:
        return Jump(yes);
      case Kind::kNot:
        return Emit(*filter.left, no, yes);
      case Kind::kAnd:
      case Kind::kOr: {
        Label next = NewLabel();
        filter.kind == Kind::kAnd ? Emit(*filter.left, next, no) : Emit(*filter.left, yes, next);
        Bind(next);
        return Emit(*filter.right, yes, no);
      }
      case Kind::kTest:
        code_.insert(code_.end(), filter.load.begin(), filter.load.end());
        // A conditional jump reaches 255 instructions, an unconditional one everything.
        code_.push_back({static_cast<uint16_t>(BPF_JMP | BPF_K | filter.jump), 0, 1, filter.operand});
        Jump(yes);
        return Jump(no);
    }
  }
  void Return(uint32_t bytes) { code_.push_back({BPF_RET | BPF_K, 0, 0, bytes}); }

  std::vector<sock_filter> Finish() {
    for (const auto& [at, label] : jumps_) code_[at].k = static_cast<uint32_t>(places_[label] - at - 1);
    return std::move(code_);
  }

 private:
  void Jump(Label to) {
    jumps_.emplace_back(code_.size(), to);
    code_.push_back({BPF_JMP | BPF_JA, 0, 0, 0});
  }

  std::vector<sock_filter> code_;
  std::vector<size_t> places_;                   // of labels
  std::vector<std::pair<size_t, Label>> jumps_;  // instruction, to where
};

}  // namespace

FilterPtr And(FilterPtr left, FilterPtr right) { return Join(Kind::kAnd, std::move(left), std::move(right)); }
FilterPtr Or(FilterPtr left, FilterPtr right) { return Join(Kind::kOr, std::move(left), std::move(right)); }
FilterPtr Not(FilterPtr filter) { return Join(Kind::kNot, std::move(filter), nullptr); }
FilterPtr AnyPacket() { return std::make_unique<PacketFilter>(); }

FilterPtr EtherType(uint16_t type) { return Test({Load(BPF_W, Aside(SKF_AD_PROTOCOL))}, BPF_JEQ, type); }

FilterPtr IpProtocol(int family, uint8_t protocol) {
  uint32_t at = family == AF_INET ? kIp4Protocol : kIp6Next;
  return And(EtherType(family == AF_INET ? ETH_P_IP : ETH_P_IPV6), Test({Load(BPF_B, Net(at))}, BPF_JEQ, protocol));
}

FilterPtr Network(Direction direction, const IpPrefix& network) {
  if (network.family == AF_INET6) {
    return And(EtherType(ETH_P_IPV6), EitherAddress(direction, kIp6Source, kIp6Destination, network));
  }
  return Or(And(EtherType(ETH_P_IP), EitherAddress(direction, kIp4Source, kIp4Destination, network)),
            And(EtherType(ETH_P_ARP), EitherAddress(direction, kArpSender, kArpTarget, network)));
}

FilterPtr Ports(const std::vector<Transport>& transports, Direction direction, uint16_t first, uint16_t last) {
  FilterPtr ip4, ip6;
  for (Transport transport : transports) {
    FilterPtr one4 = IpProtocol(AF_INET, static_cast<uint8_t>(transport));
    FilterPtr one6 = IpProtocol(AF_INET6, static_cast<uint8_t>(transport));
    ip4 = ip4 == nullptr ? std::move(one4) : Or(std::move(ip4), std::move(one4));
    ip6 = ip6 == nullptr ? std::move(one6) : Or(std::move(ip6), std::move(one6));
  }
  // Only a packet's first fragment has ports, behind a header of any size.
  FilterPtr first_fragment =
      Test({Load(BPF_H, Net(kIp4Fragment)), {BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x1fff}}, BPF_JEQ, 0);
  sock_filter header_size = {BPF_LDX | BPF_MSH | BPF_B, 0, 0, Net(0)};
  FilterPtr ports4 = EitherPort(direction, {header_size, {BPF_LD | BPF_IND | BPF_H, 0, 0, Net(0)}},
                                {header_size, {BPF_LD | BPF_IND | BPF_H, 0, 0, Net(2)}}, first, last);
  FilterPtr ports6 =
      EitherPort(direction, {Load(BPF_H, Net(kIp6Header))}, {Load(BPF_H, Net(kIp6Header + 2))}, first, last);
  return Or(And(std::move(ip4), And(std::move(first_fragment), std::move(ports4))),
            And(std::move(ip6), std::move(ports6)));
}

FilterPtr SentBy(uint32_t interface_index) {
  return And(Test({Load(BPF_W, Aside(SKF_AD_PKTTYPE))}, BPF_JEQ, PACKET_OUTGOING),
             Test({Load(BPF_W, Aside(SKF_AD_IFINDEX))}, BPF_JEQ, interface_index));
}

absl::StatusOr<std::vector<sock_filter>> CompileFilter(const PacketFilter& filter, uint32_t snap_length) {
  Program program;
  Program::Label yes = program.NewLabel(), no = program.NewLabel();
  program.Emit(filter, yes, no);
  program.Bind(yes);
  program.Return(snap_length);
  program.Bind(no);
  program.Return(0);
  std::vector<sock_filter> code = program.Finish();
  if (code.size() > BPF_MAXINSNS) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the filter is too large: ", code.size(), " instructions of at most ", BPF_MAXINSNS));
  }
  return code;
}

}  // namespace stele::machined
