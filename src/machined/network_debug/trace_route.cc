#include "machined/network_debug/trace_route.h"

#include <poll.h>

#include <vector>

#include "machined/network_debug/icmp_packet.h"
#include "machined/network_debug/icmp_socket.h"
#include "machined/network_debug/random_number.h"
#include "machined/network_debug/request_bounds.h"
#include "machined/proto_time.h"
#include "machined/uptime.h"

namespace stele::machined {
namespace {

using machine::v1::TraceHop;
using machine::v1::TraceRouteRequest;
using machine::v1::TraceRouteResponse;

constexpr uint32_t kDefaultHops = 30, kMaxHops = 64;
constexpr uint32_t kDefaultProbes = 3, kMaxProbes = 10;
constexpr DurationBounds kTimeout = {"timeout", absl::Milliseconds(10), absl::Seconds(10), absl::Seconds(1)};
constexpr uint16_t kFirstPort = 33'434;  // where traceroutes always begin
constexpr size_t kPayload = 32;

struct Plan {
  uint32_t hops = kDefaultHops, probes = kDefaultProbes;
  absl::Duration timeout;
  bool icmp = false;
};

absl::StatusOr<Plan> MakePlan(const TraceRouteRequest& request) {
  Plan plan;
  if (request.max_hops() != 0) plan.hops = request.max_hops();
  if (request.probes() != 0) plan.probes = request.probes();
  RETURN_IF_ERROR(CheckNumber(plan.hops, {"max_hops", 1, kMaxHops}));
  RETURN_IF_ERROR(CheckNumber(plan.probes, {"probes", 1, kMaxProbes}));
  ASSIGN_OR_RETURN(plan.timeout, Bounded(request.has_timeout(), request.timeout(), kTimeout));
  plan.icmp = request.protocol() == machine::v1::TRACE_PROTOCOL_ICMP;
  return plan;
}

// What sends UDP: a port of its own, by which answers are known.
absl::StatusOr<UniqueFd> OpenUdp(int family, const Source& source, uint16_t* port) {
  UniqueFd fd(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrnoStatus("open a UDP socket");
  RETURN_IF_ERROR(source.Apply(fd.get(), family));
  SocketAddress own;
  own.size = sizeof own.storage;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own.storage), &own.size) != 0)
    return ErrnoStatus("getsockname");
  if (own.port() == 0) {
    own.set_port(0);
    if (::bind(fd.get(), own.get(), own.size) != 0) return ErrnoStatus("take a UDP port");
    own.size = sizeof own.storage;
    if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own.storage), &own.size) != 0)
      return ErrnoStatus("getsockname");
  }
  *port = own.port();
  return fd;
}

class Tracer {
 public:
  Tracer(const Plan& plan, IcmpSocket icmp, UniqueFd udp, uint16_t udp_port, SocketAddress to, const Stop& stop,
         const std::function<bool(const TraceRouteResponse&)>& tell)
      : plan_(plan),
        icmp_(std::move(icmp)),
        udp_(std::move(udp)),
        udp_port_(udp_port),
        to_(to),
        stop_(stop),
        tell_(tell) {}

  absl::Status Run() {
    TraceRouteResponse response;
    response.set_address(to_.Text());
    if (!tell_(response)) return absl::CancelledError("the client went away");
    for (uint32_t ttl = 1; ttl <= plan_.hops; ++ttl) {
      TraceHop* hop = response.mutable_hop();
      hop->Clear();
      hop->set_ttl(ttl);
      absl::StatusOr<bool> ends = Ask(hop);
      if (!ends.ok()) return ends.status();
      if (!tell_(response)) return absl::CancelledError("the client went away");
      if (*ends) break;
    }
    return absl::OkStatus();
  }

 private:
  struct Sent {
    absl::Duration at;
    bool settled = false;
  };

  // All packets of a hop at once, then what comes back. True: there is no further hop.
  absl::StatusOr<bool> Ask(TraceHop* hop) {
    RETURN_IF_ERROR(SetTtl(static_cast<int>(hop->ttl())));
    first_ = (hop->ttl() - 1) * plan_.probes;
    sent_.assign(plan_.probes, {});
    size_t waiting = 0;
    for (uint32_t i = 0; i < plan_.probes; ++i) {
      hop->add_probes();
      sent_[i].at = Uptime();
      absl::Status status = Send(static_cast<uint16_t>(first_ + i));
      sent_[i].settled = !status.ok();
      if (status.ok()) ++waiting;
      if (!status.ok()) hop->mutable_probes(static_cast<int>(i))->set_message(std::string(status.message()));
    }
    bool ends = waiting == 0;  // the node itself knows no way
    absl::Duration deadline = Uptime() + plan_.timeout;
    while (waiting > 0) {
      absl::Status ready = stop_.Wait(icmp_.fd(), POLLIN, deadline);
      if (absl::IsDeadlineExceeded(ready)) break;
      RETURN_IF_ERROR(ready);
      IcmpSocket::Packet packet;
      // One at a time, so that a flood of others' ICMP cannot keep us past the deadline.
      if (icmp_.Receive(&packet) && OnPacket(packet, hop, &ends)) --waiting;
      if (Uptime() >= deadline) break;
    }
    return ends;
  }

  absl::Status SetTtl(int ttl) {
    if (plan_.icmp) return icmp_.SetTtl(ttl);
    int level = to_.family() == AF_INET ? static_cast<int>(IPPROTO_IP) : static_cast<int>(IPPROTO_IPV6);
    int option = to_.family() == AF_INET ? IP_TTL : IPV6_UNICAST_HOPS;
    if (::setsockopt(udp_.get(), level, option, &ttl, sizeof ttl) != 0) return ErrnoStatus("set the time to live");
    return absl::OkStatus();
  }

  absl::Status Send(uint16_t number) {
    if (plan_.icmp) return icmp_.Send(EchoRequest(to_.family(), id_, number, kPayload, ""), to_);
    SocketAddress to = to_;
    to.set_port(static_cast<uint16_t>(kFirstPort + number));
    char payload[kPayload] = {};
    if (::sendto(udp_.get(), payload, sizeof payload, MSG_NOSIGNAL, to.get(), to.size) < 0) return ErrnoStatus("send");
    return absl::OkStatus();
  }

  // Which of this hop's packets an answer is about.
  absl::optional<uint32_t> NumberOf(const IcmpAnswer& answer, const SocketAddress& from) const {
    uint16_t number;
    if (answer.kind == IcmpAnswer::Kind::kEchoReply) {
      if (from.bytes() != to_.bytes()) return absl::nullopt;
    } else if (answer.destination != to_.bytes()) {
      return absl::nullopt;
    }
    if (plan_.icmp) {
      if (answer.protocol == IPPROTO_UDP || answer.id != id_) return absl::nullopt;
      number = answer.sequence;
    } else {
      if (answer.protocol != IPPROTO_UDP || answer.source_port != udp_port_) return absl::nullopt;
      number = static_cast<uint16_t>(answer.destination_port - kFirstPort);
    }
    if (number < first_ || number >= first_ + plan_.probes) return absl::nullopt;
    return number - first_;
  }

  // True: one of this hop's packets is settled by it.
  bool OnPacket(const IcmpSocket::Packet& packet, TraceHop* hop, bool* ends) {
    absl::Duration now = Uptime();
    absl::optional<IcmpAnswer> answer = ParseIcmp(icmp_.family(), packet.bytes);
    if (!answer.has_value()) return false;
    absl::optional<uint32_t> index = NumberOf(*answer, packet.from);
    if (!index.has_value() || sent_[*index].settled) return false;
    sent_[*index].settled = true;
    machine::v1::TraceProbe* probe = hop->mutable_probes(static_cast<int>(*index));
    probe->set_from(packet.from.Text());
    SetDuration(now - sent_[*index].at, probe->mutable_round_trip());
    if (answer->kind == IcmpAnswer::Kind::kTimeExceeded) return true;
    *ends = true;
    if (packet.from.bytes() == to_.bytes()) hop->set_reached(true);
    // That nobody listens at a port is how the host says that it is there.
    bool arrived = answer->kind == IcmpAnswer::Kind::kEchoReply || IsPortUnreachable(*answer);
    if (!arrived) probe->set_message(IcmpErrorText(icmp_.family(), *answer));
    return true;
  }

  bool IsPortUnreachable(const IcmpAnswer& answer) const {
    return icmp_.family() == AF_INET ? answer.type == 3 && answer.code == 3 : answer.type == 1 && answer.code == 4;
  }

  const Plan plan_;
  IcmpSocket icmp_;
  UniqueFd udp_;
  const uint16_t udp_port_;
  const SocketAddress to_;
  const Stop& stop_;
  const std::function<bool(const TraceRouteResponse&)>& tell_;
  const uint16_t id_ = static_cast<uint16_t>(RandomNumber());
  uint32_t first_ = 0;  // this hop's first packet, of all
  std::vector<Sent> sent_;
};

}  // namespace

absl::Status TraceRoute(const TraceRouteRequest& request, const ResolverFiles& files, const Stop& stop,
                        const std::function<bool(const TraceRouteResponse&)>& tell) {
  ASSIGN_OR_RETURN(Plan plan, MakePlan(request));
  ASSIGN_OR_RETURN(Source source, Source::Parse(request.source()));
  ASSIGN_OR_RETURN(SocketAddress to, FindHost(request.host(), 0, request.family(), source, files, stop));
  // UDP's answers are ICMP too.
  ASSIGN_OR_RETURN(IcmpSocket icmp, IcmpSocket::Open(to.family(), plan.icmp ? source : Source()));
  UniqueFd udp;
  uint16_t port = 0;
  if (!plan.icmp) {
    ASSIGN_OR_RETURN(udp, OpenUdp(to.family(), source, &port));
  }
  return Tracer(plan, std::move(icmp), std::move(udp), port, to, stop, tell).Run();
}

}  // namespace stele::machined
