#include "machined/network_debug/icmp_packet.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include "absl/strings/escaping.h"

namespace stele::machined {
namespace {

using Kind = IcmpAnswer::Kind;

std::string Hex(absl::string_view hex) { return absl::HexStringToBytes(hex); }

// An IPv4 header of 20 bytes for `protocol`, from 192.0.2.1 to 192.0.2.2, with TTL 57.
std::string Ip4(uint8_t protocol, absl::string_view fragment = "0000") {
  return Hex("45000000") + Hex("0000") + Hex(fragment) + Hex("39") + std::string(1, static_cast<char>(protocol)) +
         Hex("0000c0000201c0000202");
}
std::string Ip6(uint8_t next) {
  return Hex("60000000") + Hex("0008") + std::string(1, static_cast<char>(next)) + Hex("40") +
         Hex("20010db8000000000000000000000001") + Hex("20010db8000000000000000000000002");
}

std::string WithChecksum(std::string icmp) {
  icmp[2] = icmp[3] = 0;
  uint16_t sum = InternetChecksum(icmp);
  icmp[2] = static_cast<char>(sum >> 8);
  icmp[3] = static_cast<char>(sum);
  return icmp;
}

std::string Reply4(absl::string_view icmp_hex) { return Ip4(IPPROTO_ICMP) + WithChecksum(Hex(icmp_hex)); }

TEST(EchoRequest, HasItsNumbersTokenAndSum) {
  std::string packet = EchoRequest(AF_INET, 0x1234, 7, 16, "token");
  EXPECT_EQ(packet.size(), 24u);
  EXPECT_EQ(packet.substr(0, 2), Hex("0800"));
  EXPECT_EQ(packet.substr(4, 4), Hex("12340007"));
  EXPECT_EQ(packet.substr(8, 6), std::string("token\0", 6));
  EXPECT_EQ(InternetChecksum(packet), 0);
  EXPECT_EQ(EchoRequest(AF_INET6, 1, 2, 0, "token"), Hex("8000000000010002"));
  EXPECT_EQ(EchoRequest(AF_INET, 1, 2, 3, "token").substr(8), "tok");
}

TEST(InternetChecksum, IsRfc1071s) {
  EXPECT_EQ(InternetChecksum(Hex("0001f203f4f5f6f7")), 0x220d);
  EXPECT_EQ(InternetChecksum(Hex("01")), 0xfeff);
  EXPECT_EQ(InternetChecksum(""), 0xffff);
  EXPECT_EQ(InternetChecksum(std::string(70'000, '\xff')), 0);
}

TEST(ParseIcmp, ReadsEchoReplies) {
  std::string packet = Reply4("00000000123400076162");
  absl::optional<IcmpAnswer> answer = ParseIcmp(AF_INET, packet);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->kind, Kind::kEchoReply);
  EXPECT_EQ(answer->id, 0x1234);
  EXPECT_EQ(answer->sequence, 7);
  EXPECT_EQ(answer->ttl, 57);
  EXPECT_EQ(answer->payload, "ab");
  std::string packet6 = Hex("81000000123400076162");
  answer = ParseIcmp(AF_INET6, packet6);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->sequence, 7);
}

TEST(ParseIcmp, ReadsWhatErrorsQuote) {
  std::string packet =
      Ip4(IPPROTO_ICMP) + WithChecksum(Hex("0b00000000000000") + Ip4(IPPROTO_UDP) + Hex("1f908298000c0000"));
  absl::optional<IcmpAnswer> answer = ParseIcmp(AF_INET, packet);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->kind, Kind::kTimeExceeded);
  EXPECT_EQ(answer->protocol, IPPROTO_UDP);
  EXPECT_EQ(answer->source_port, 8080);
  EXPECT_EQ(answer->destination_port, 33432);
  EXPECT_EQ(answer->destination, Hex("c0000202"));

  packet = Ip4(IPPROTO_ICMP) + WithChecksum(Hex("0304000000000500") + Ip4(IPPROTO_ICMP) + Hex("0800000012340009"));
  answer = ParseIcmp(AF_INET, packet);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->kind, Kind::kUnreachable);
  EXPECT_EQ(answer->sequence, 9);
  EXPECT_EQ(IcmpErrorText(AF_INET, *answer), "too large: the next link takes 1280 bytes");

  packet = Hex("0200000000000514") + Ip6(IPPROTO_ICMPV6) + Hex("8000000012340009");
  answer = ParseIcmp(AF_INET6, packet);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->mtu, 1300u);
  EXPECT_EQ(answer->id, 0x1234);
  EXPECT_EQ(IcmpErrorText(AF_INET6, *answer), "too large: the next link takes 1300 bytes");

  // The first fragment of a large one.
  packet = Hex("0100000000000000") + Ip6(IPPROTO_FRAGMENT) + Hex("3a00000100000007") + Hex("8000000012340009");
  answer = ParseIcmp(AF_INET6, packet);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->sequence, 9);
  EXPECT_EQ(IcmpErrorText(AF_INET6, *answer), "network unreachable");
}

struct Hostile {
  const char* name;
  int family;
  std::string packet;
};

class HostileIcmp : public testing::TestWithParam<Hostile> {};

TEST_P(HostileIcmp, IsNothing) { EXPECT_FALSE(ParseIcmp(GetParam().family, GetParam().packet).has_value()); }

std::vector<Hostile> HostilePackets() {
  std::string good = Reply4("00000000123400076162");
  std::string wrong_sum = good;
  wrong_sum.back() ^= 1;
  std::string short_header = good;
  short_header[0] = 0x44;
  std::string long_header = good;
  long_header[0] = 0x4f;
  std::string udp = good;
  udp[9] = IPPROTO_UDP;
  auto error4 = [](const std::string& quoted) {
    return Ip4(IPPROTO_ICMP) + WithChecksum(Hex("0b00000000000000") + quoted);
  };
  auto error6 = [](const std::string& quoted) { return Hex("0300000000000000") + quoted; };
  std::string options = Ip4(IPPROTO_UDP);
  options[0] = 0x4f;  // longer than what is quoted
  return {
      {"Empty4", AF_INET, ""},
      {"Empty6", AF_INET6, ""},
      {"HeaderOnly", AF_INET, Ip4(IPPROTO_ICMP)},
      {"HalfIcmp", AF_INET, good.substr(0, 24)},
      {"HalfIcmp6", AF_INET6, Hex("81000000123400")},
      {"WrongSum", AF_INET, wrong_sum},
      {"ShortHeader", AF_INET, short_header},
      {"LongHeader", AF_INET, long_header},
      {"NotIcmp", AF_INET, udp},
      {"Request4", AF_INET, Reply4("0800000012340007")},
      {"Request6", AF_INET6, Hex("8000000012340007")},
      {"Neighbours6", AF_INET6, Hex("8700000000000000")},
      {"QuotesNothing4", AF_INET, error4("")},
      {"QuotesNothing6", AF_INET6, error6("")},
      {"QuotesHalf4", AF_INET, error4(Ip4(IPPROTO_UDP) + Hex("1f9082"))},
      {"QuotesHalf6", AF_INET6, error6(Ip6(IPPROTO_UDP) + Hex("1f9082"))},
      {"QuotesOptionsPastItsEnd", AF_INET, error4(options + Hex("1f908298000c0000"))},
      {"QuotesIp6InIp4", AF_INET, error4(Ip6(IPPROTO_UDP) + Hex("1f908298000c0000"))},
      {"QuotesIp4InIp6", AF_INET6, error6(Ip4(IPPROTO_UDP) + std::string(40, '\0'))},
      {"QuotesTcp", AF_INET, error4(Ip4(IPPROTO_TCP) + Hex("1f908298000c0000"))},
      {"QuotesEchoReply", AF_INET, error4(Ip4(IPPROTO_ICMP) + Hex("0000000012340009"))},
      {"QuotesLaterFragment", AF_INET, error4(Ip4(IPPROTO_UDP, "0001") + Hex("1f908298000c0000"))},
      {"QuotesLaterFragment6", AF_INET6,
       error6(Ip6(IPPROTO_FRAGMENT) + Hex("3a00000800000007") + Hex("8000000012340009"))},
      {"QuotesFragmentHeaderOnly6", AF_INET6, error6(Ip6(IPPROTO_FRAGMENT) + Hex("3a0000"))},
  };
}

INSTANTIATE_TEST_SUITE_P(All, HostileIcmp, testing::ValuesIn(HostilePackets()),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace stele::machined
