// Any bytes as what machined's NetworkService reads from the network or from a client: the first byte says as what.
#include <cstdint>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "machined/network_debug/connection_probe.h"
#include "machined/network_debug/dns_message.h"
#include "machined/network_debug/icmp_packet.h"
#include "machined/network_debug/packet_filter.h"
#include "machined/network_debug/resolver_files.h"

namespace {

using namespace stele::machined;

void Require(bool holds) {
  if (!holds) std::abort();
}

bool Printable(absl::string_view text) {
  for (char c : text) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

void Icmp(int family, absl::string_view bytes) {
  absl::optional<IcmpAnswer> answer = ParseIcmp(family, bytes);
  if (!answer.has_value()) return;
  bool inside =
      answer->payload.empty() || (answer->payload.data() >= bytes.data() &&
                                  answer->payload.data() + answer->payload.size() == bytes.data() + bytes.size());
  Require(inside);
  if (answer->kind == IcmpAnswer::Kind::kEchoReply) return;
  Require(answer->destination.size() == (family == AF_INET ? 4u : 16u));
  Require(Printable(IcmpErrorText(family, *answer)));
}

// With its sum put right, which chance would not do.
std::string Summed(absl::string_view bytes) {
  std::string packet(bytes);
  size_t header = packet.empty() ? 0 : (static_cast<uint8_t>(packet[0]) & 15) * 4u;
  if (packet.size() < header + kIcmpHeader) return packet;
  packet[header + 2] = packet[header + 3] = 0;
  uint16_t sum = InternetChecksum(absl::string_view(packet).substr(header));
  packet[header + 2] = static_cast<char>(sum >> 8);
  packet[header + 3] = static_cast<char>(sum);
  return packet;
}

void Dns(absl::string_view bytes) {
  for (DnsType type : {DnsType::kA, DnsType::kPtr}) {
    absl::StatusOr<DnsAnswer> answer = ParseDnsAnswer(bytes, "far.lab", type, 0x1234);
    if (!answer.ok()) continue;
    for (const DnsAnswer::Record& record : answer->records) {
      Require(Printable(record.name) && Printable(record.data));
      Require(record.bytes.empty() || record.bytes.size() == 4 || record.bytes.size() == 16);
    }
  }
}

// A filter that is one becomes a program whose every jump stays inside and whose every way ends.
void Filter(absl::string_view text) {
  absl::StatusOr<FilterPtr> filter = ParseFilter(text);
  if (!filter.ok()) return;
  absl::StatusOr<std::vector<sock_filter>> program = CompileFilter(**filter, 100);
  if (!program.ok()) return;
  Require(program->size() <= BPF_MAXINSNS && program->back().code == (BPF_RET | BPF_K));
  for (size_t at = 0; at < program->size(); ++at) {
    const sock_filter& step = (*program)[at];
    if (BPF_CLASS(step.code) != BPF_JMP) continue;
    size_t furthest = BPF_OP(step.code) == BPF_JA ? step.k : std::max(step.jt, step.jf);
    Require(at + 1 + furthest < program->size());
  }
}

void Words(absl::string_view text) {
  Resolver resolver = ParseResolvConf(text);
  Require(resolver.servers.size() <= 3 && resolver.search.size() <= 6);
  HostsAddresses(text, "far.lab");
  CandidatesOf(text, resolver);
  ParseHostPort(text, 53).status().IgnoreError();
  absl::StatusOr<WebTarget> web = ParseWebUrl(text);
  if (web.ok()) Require(Printable(web->path) && Printable(web->authority) && web->where.port != 0);
  absl::StatusOr<absl::optional<std::string>> line = StatusLine(text);
  if (line.ok() && line->has_value()) Require(Printable(**line));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case '4':
      Icmp(AF_INET, bytes);
      Icmp(AF_INET, Summed(bytes));
      break;
    case '6':
      Icmp(AF_INET6, bytes);
      break;
    case 'd':
      Dns(bytes);
      break;
    case 'f':
      Filter(bytes);
      break;
    case 'w':
      Words(bytes);
      break;
    default:
      break;
  }
  return 0;
}
