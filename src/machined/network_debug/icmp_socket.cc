#include "machined/network_debug/icmp_socket.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>

#include <cstring>

namespace stele::machined {
namespace {

// Of netinet/ip_icmp.h, which does not go together with linux/icmp.h.
constexpr uint32_t Bit(int type) { return 1u << type; }

absl::Status Set(int fd, int level, int option, int value, absl::string_view what) {
  if (::setsockopt(fd, level, option, &value, sizeof value) != 0) return ErrnoStatus(what);
  return absl::OkStatus();
}

// Only what may be an answer wakes us: no echo request of others, none of IPv6's neighbour discovery.
absl::Status Filter4(int fd) {
  icmp_filter filter = {
      .data = ~(Bit(ICMP_ECHOREPLY) | Bit(ICMP_DEST_UNREACH) | Bit(ICMP_TIME_EXCEEDED) | Bit(ICMP_PARAMETERPROB))};
  if (::setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof filter) != 0) return ErrnoStatus("filter ICMP");
  return absl::OkStatus();
}

absl::Status Filter6(int fd) {
  icmp6_filter filter;
  ICMP6_FILTER_SETBLOCKALL(&filter);
  for (int type : {ICMP6_ECHO_REPLY, ICMP6_DST_UNREACH, ICMP6_PACKET_TOO_BIG, ICMP6_TIME_EXCEEDED, ICMP6_PARAM_PROB}) {
    ICMP6_FILTER_SETPASS(type, &filter);
  }
  if (::setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) != 0) return ErrnoStatus("filter ICMPv6");
  return Set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1, "ask for hop limits");
}

}  // namespace

absl::StatusOr<IcmpSocket> IcmpSocket::Open(int family, const Source& source) {
  int protocol = family == AF_INET ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6);
  UniqueFd fd(::socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!fd.ok()) return ErrnoStatus("open a socket for ICMP");
  RETURN_IF_ERROR(family == AF_INET ? Filter4(fd.get()) : Filter6(fd.get()));
  RETURN_IF_ERROR(source.Apply(fd.get(), family));
  return IcmpSocket(std::move(fd), family);
}

absl::Status IcmpSocket::SetTtl(int ttl) {
  return family_ == AF_INET ? Set(fd_.get(), IPPROTO_IP, IP_TTL, ttl, "set the time to live")
                            : Set(fd_.get(), IPPROTO_IPV6, IPV6_UNICAST_HOPS, ttl, "set the hop limit");
}

absl::Status IcmpSocket::SetDontFragment(bool dont_fragment) {
  if (family_ == AF_INET) {
    return Set(fd_.get(), IPPROTO_IP, IP_MTU_DISCOVER, dont_fragment ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT,
               "set whether packets may be taken apart");
  }
  RETURN_IF_ERROR(Set(fd_.get(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, dont_fragment ? IPV6_PMTUDISC_DO : IPV6_PMTUDISC_WANT,
                      "set whether packets may be taken apart"));
  return Set(fd_.get(), IPPROTO_IPV6, IPV6_DONTFRAG, dont_fragment ? 1 : 0, "set whether packets may be taken apart");
}

absl::Status IcmpSocket::Send(absl::string_view packet, const SocketAddress& to) {
  if (::sendto(fd_.get(), packet.data(), packet.size(), MSG_NOSIGNAL, to.get(), to.size) < 0)
    return ErrnoStatus("send");
  return absl::OkStatus();
}

bool IcmpSocket::Receive(Packet* packet) {
  packet->from = {};
  packet->ttl = 0;
  iovec part = {.iov_base = buffer_.data(), .iov_len = buffer_.size()};
  alignas(cmsghdr) char control[64];
  msghdr message = {.msg_name = &packet->from.storage,
                    .msg_namelen = sizeof packet->from.storage,
                    .msg_iov = &part,
                    .msg_iovlen = 1,
                    .msg_control = control,
                    .msg_controllen = sizeof control};
  ssize_t size = -1;
  // An error that is pending on the socket is told instead of a packet, once, and says nothing about one of ours.
  for (int tries = 0; tries < 4 && size < 0; ++tries) size = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT);
  if (size < 0) return false;
  packet->from.size = message.msg_namelen;
  packet->bytes = absl::string_view(buffer_.data(), static_cast<size_t>(size));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != IPPROTO_IPV6 || header->cmsg_type != IPV6_HOPLIMIT) continue;
    int hops;
    std::memcpy(&hops, CMSG_DATA(header), sizeof hops);
    packet->ttl = static_cast<uint8_t>(hops);
  }
  return true;
}

}  // namespace stele::machined
