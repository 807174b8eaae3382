#include "machined/network_debug/icmp_packet.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace stele::machined {
namespace {

using Kind = IcmpAnswer::Kind;

constexpr size_t kIp6Header = 40;
constexpr size_t kFragmentHeader = 8;

// The caller has checked the size.
uint8_t Byte(absl::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }
uint16_t Word(absl::string_view bytes, size_t at) {
  return static_cast<uint16_t>(Byte(bytes, at) << 8 | Byte(bytes, at + 1));
}

void PutWord(std::string* bytes, size_t at, uint16_t value) {
  (*bytes)[at] = static_cast<char>(value >> 8);
  (*bytes)[at + 1] = static_cast<char>(value);
}

// The header's size; 0 when `packet` does not begin with a whole one of IPv4.
size_t Ip4HeaderSize(absl::string_view packet) {
  if (packet.size() < 20 || Byte(packet, 0) >> 4 != 4) return 0;
  size_t size = static_cast<size_t>(Byte(packet, 0) & 15) * 4;
  return size < 20 || size > packet.size() ? 0 : size;
}

// What an error quotes: the beginning of a packet that one of us may have sent.
bool ParseQuoted(int family, absl::string_view packet, IcmpAnswer* answer) {
  size_t header;
  if (family == AF_INET) {
    header = Ip4HeaderSize(packet);
    if (header == 0 || (Word(packet, 6) & 0x1fff) != 0) return false;  // a later fragment holds no ports
    answer->protocol = Byte(packet, 9);
    answer->destination = std::string(packet.substr(16, 4));
  } else {
    header = kIp6Header;
    if (packet.size() < header || Byte(packet, 0) >> 4 != 6) return false;
    answer->protocol = Byte(packet, 6);
    answer->destination = std::string(packet.substr(24, 16));
    if (answer->protocol == IPPROTO_FRAGMENT) {
      if (packet.size() < header + kFragmentHeader || (Word(packet, header + 2) & 0xfff8) != 0) return false;
      answer->protocol = Byte(packet, header);
      header += kFragmentHeader;
    }
  }
  absl::string_view inner = packet.substr(header);
  if (inner.size() < kIcmpHeader) return false;
  if (answer->protocol == IPPROTO_UDP) {
    answer->source_port = Word(inner, 0);
    answer->destination_port = Word(inner, 2);
    return true;
  }
  bool echo = family == AF_INET ? answer->protocol == IPPROTO_ICMP && Byte(inner, 0) == ICMP_ECHO
                                : answer->protocol == IPPROTO_ICMPV6 && Byte(inner, 0) == ICMP6_ECHO_REQUEST;
  if (!echo) return false;
  answer->id = Word(inner, 4);
  answer->sequence = Word(inner, 6);
  return true;
}

absl::optional<Kind> KindOf(int family, uint8_t type) {
  if (family == AF_INET) {
    switch (type) {
      case ICMP_ECHOREPLY:
        return Kind::kEchoReply;
      case ICMP_TIME_EXCEEDED:
        return Kind::kTimeExceeded;
      case ICMP_DEST_UNREACH:
      case ICMP_PARAMETERPROB:
        return Kind::kUnreachable;
      default:
        return absl::nullopt;
    }
  }
  switch (type) {
    case ICMP6_ECHO_REPLY:
      return Kind::kEchoReply;
    case ICMP6_TIME_EXCEEDED:
      return Kind::kTimeExceeded;
    case ICMP6_DST_UNREACH:
    case ICMP6_PACKET_TOO_BIG:
    case ICMP6_PARAM_PROB:
      return Kind::kUnreachable;
    default:
      return absl::nullopt;
  }
}

struct ErrorText {
  uint8_t type, code;
  const char* text;
};

constexpr ErrorText kErrors4[] = {
    {ICMP_DEST_UNREACH, ICMP_NET_UNREACH, "network unreachable"},
    {ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, "host unreachable"},
    {ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, "protocol unreachable"},
    {ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, "port unreachable"},
    {ICMP_DEST_UNREACH, ICMP_NET_ANO, "network forbidden"},
    {ICMP_DEST_UNREACH, ICMP_HOST_ANO, "host forbidden"},
    {ICMP_DEST_UNREACH, ICMP_PKT_FILTERED, "forbidden by a filter"},
    {ICMP_TIME_EXCEEDED, 0, "time to live exceeded"},
    {ICMP_TIME_EXCEEDED, 1, "fragments are missing"},
};
constexpr ErrorText kErrors6[] = {
    {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE, "network unreachable"},
    {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN, "forbidden by a filter"},
    {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_BEYONDSCOPE, "beyond the source's scope"},
    {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR, "host unreachable"},
    {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOPORT, "port unreachable"},
    {ICMP6_TIME_EXCEEDED, 0, "hop limit exceeded"},
    {ICMP6_TIME_EXCEEDED, 1, "fragments are missing"},
};

}  // namespace

uint16_t InternetChecksum(absl::string_view bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) sum += Word(bytes, i);
  if (bytes.size() % 2 != 0) sum += static_cast<uint64_t>(Byte(bytes, bytes.size() - 1)) << 8;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

std::string EchoRequest(int family, uint16_t id, uint16_t sequence, size_t size, absl::string_view token) {
  std::string packet(kIcmpHeader + size, '\0');
  int type = family == AF_INET ? int{ICMP_ECHO} : int{ICMP6_ECHO_REQUEST};
  packet[0] = static_cast<char>(type);
  PutWord(&packet, 4, id);
  PutWord(&packet, 6, sequence);
  std::copy_n(token.begin(), std::min(token.size(), size), packet.begin() + kIcmpHeader);
  if (family == AF_INET) PutWord(&packet, 2, InternetChecksum(packet));
  return packet;
}

absl::optional<IcmpAnswer> ParseIcmp(int family, absl::string_view packet) {
  IcmpAnswer answer;
  if (family == AF_INET) {
    size_t header = Ip4HeaderSize(packet);
    if (header == 0 || Byte(packet, 9) != IPPROTO_ICMP) return absl::nullopt;
    answer.ttl = Byte(packet, 8);
    packet.remove_prefix(header);
    // A raw socket gets ICMP before the kernel has looked at its checksum; ICMPv6 after.
    if (packet.size() < kIcmpHeader || InternetChecksum(packet) != 0) return absl::nullopt;
  }
  if (packet.size() < kIcmpHeader) return absl::nullopt;
  answer.type = Byte(packet, 0);
  answer.code = Byte(packet, 1);
  absl::optional<Kind> kind = KindOf(family, answer.type);
  if (!kind.has_value()) return absl::nullopt;
  answer.kind = *kind;
  if (*kind == Kind::kEchoReply) {
    answer.protocol = static_cast<uint8_t>(family == AF_INET ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
    answer.id = Word(packet, 4);
    answer.sequence = Word(packet, 6);
    answer.payload = packet.substr(kIcmpHeader);
    return answer;
  }
  bool too_large4 = family == AF_INET && answer.type == ICMP_DEST_UNREACH && answer.code == ICMP_FRAG_NEEDED;
  if (too_large4) answer.mtu = Word(packet, 6);
  if (family == AF_INET6 && answer.type == ICMP6_PACKET_TOO_BIG) {
    answer.mtu = static_cast<uint32_t>(Word(packet, 4)) << 16 | Word(packet, 6);
  }
  if (!ParseQuoted(family, packet.substr(kIcmpHeader), &answer)) return absl::nullopt;
  return answer;
}

std::string IcmpErrorText(int family, const IcmpAnswer& answer) {
  if (family == AF_INET ? answer.type == ICMP_DEST_UNREACH && answer.code == ICMP_FRAG_NEEDED
                        : answer.type == ICMP6_PACKET_TOO_BIG) {
    return answer.mtu == 0 ? "too large for the next link"
                           : absl::StrCat("too large: the next link takes ", answer.mtu, " bytes");
  }
  auto find = [&answer](const ErrorText* begin, const ErrorText* end) -> std::string {
    for (const ErrorText* error = begin; error != end; ++error) {
      if (error->type == answer.type && error->code == answer.code) return error->text;
    }
    return absl::StrCat("ICMP type ", answer.type, ", code ", answer.code);
  };
  return family == AF_INET ? find(std::begin(kErrors4), std::end(kErrors4))
                           : find(std::begin(kErrors6), std::end(kErrors6));
}

}  // namespace stele::machined
