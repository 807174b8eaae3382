#include "machined/network_debug/dns_message.h"

#include <gmock/gmock.h>

#include "absl/strings/escaping.h"

namespace stele::machined {
namespace {

using testing::HasSubstr;

std::string Hex(absl::string_view hex) { return absl::HexStringToBytes(hex); }

constexpr char kName[] = "far.lab";
const char kQuestion[] = "03666172036c616200";  // far.lab

// Header with id 0x1234, flags, one question and so many answers; then the question for an A record.
std::string Answer(absl::string_view flags, absl::string_view answers, absl::string_view records) {
  return Hex("1234") + Hex(flags) + Hex("0001") + Hex(answers) + Hex("00000000") + Hex(kQuestion) + Hex("00010001") +
         Hex(records);
}

absl::StatusOr<DnsAnswer> Parse(absl::string_view bytes) { return ParseDnsAnswer(bytes, kName, DnsType::kA, 0x1234); }

TEST(DnsQuestion, IsOne) {
  absl::StatusOr<std::string> question = DnsQuestion(kName, DnsType::kA, 0x1234);
  ASSERT_TRUE(question.ok());
  EXPECT_EQ(question->substr(0, 12), Hex("123401000001000000000001"));  // wants recursion; has EDNS
  EXPECT_EQ(question->substr(12, 13), Hex(kQuestion) + Hex("00010001"));
  for (const std::string& bad : {std::string(), std::string("a b"), std::string("a\nb"), std::string(254, 'a'),
                                 std::string(64, 'a'), std::string("a..b"), std::string("a\\b")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(DnsQuestion(bad, DnsType::kA, 1).status())) << bad;
  }
}

TEST(ParseDnsAnswer, ReadsRecords) {
  // alias: far.lab CNAME b.lab; b.lab A 10.77.2.2; and a TXT.
  absl::StatusOr<DnsAnswer> answer = Parse(Answer("8180", "0003",
                                                  "c00c000500010000003c0004"
                                                  "0162c010"
                                                  "c02500010001000000050004"
                                                  "0a4d0202"
                                                  "c02500100001000000050003"
                                                  "026869"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->code, kNoError);
  ASSERT_EQ(answer->records.size(), 3u);
  EXPECT_EQ(answer->records[0].data, "b.lab");
  EXPECT_EQ(answer->records[0].ttl, 60u);
  EXPECT_EQ(answer->records[1].name, "b.lab");
  EXPECT_EQ(answer->records[1].data, "10.77.2.2");
  EXPECT_EQ(answer->records[1].bytes, Hex("0a4d0202"));
  EXPECT_EQ(answer->records[2].data, "3 bytes");
  EXPECT_EQ(DnsTypeName(answer->records[2].type), "TYPE16");
}

TEST(ParseDnsAnswer, ReadsRefusals) {
  EXPECT_EQ(Parse(Answer("8183", "0000", ""))->code, kNxDomain);
  EXPECT_EQ(DnsCodeName(kNxDomain), "NXDOMAIN");
  // Without the question.
  EXPECT_EQ(DnsCodeName(Parse(Hex("123481850000000000000000"))->code), "REFUSED");
  absl::StatusOr<DnsAnswer> cut = Parse(Answer("8380", "0001", "c00c0001"));
  ASSERT_TRUE(cut.ok());
  EXPECT_TRUE(cut->truncated);
  // The question in other letters.
  EXPECT_TRUE(ParseDnsAnswer(Answer("8180", "0000", ""), "FAR.lab.", DnsType::kA, 0x1234).ok());
}

TEST(ParseDnsAnswer, KeepsTerminalsSafe) {
  absl::StatusOr<DnsAnswer> answer = Parse(Answer("8180", "0001",
                                                  "c00c000500010000003c0006"
                                                  "041b5b324a00"));  // ESC [ 2 J
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->records[0].data.find('\x1b'), std::string::npos) << answer->records[0].data;
  EXPECT_THAT(answer->records[0].data, HasSubstr("[2J"));
}

struct Hostile {
  const char* name;
  std::string bytes;
};

class HostileDns : public testing::TestWithParam<Hostile> {};

TEST_P(HostileDns, IsRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(Parse(GetParam().bytes).status())) << Parse(GetParam().bytes).status();
}

std::vector<Hostile> HostileAnswers() {
  std::string good = Answer("8180", "0001", "c00c000100010000003c00040a4d0202");
  std::string other_id = good;
  other_id[1] = 0x35;
  std::string question = good;
  question[2] = 0x01;
  std::string other_name = good;
  other_name[13] = 'c';
  std::string other_type = good;
  other_type[22] = 28;
  std::string two_questions = good;
  two_questions[5] = 2;
  return {
      {"Empty", ""},
      {"HalfHeader", good.substr(0, 11)},
      {"HeaderOnly", good.substr(0, 12)},
      {"OtherId", other_id},
      {"AQuestion", question},
      {"OtherName", other_name},
      {"OtherType", other_type},
      {"TwoQuestions", two_questions},
      {"NoQuestion", Hex("123481800000000000000000")},
      {"CutRecord", good.substr(0, good.size() - 1)},
      {"MoreRecordsThanThere", Answer("8180", "ffff", "c00c000100010000003c00040a4d0202")},
      {"DataPastTheEnd", Answer("8180", "0001", "c00c000100010000003cffff0a4d0202")},
      {"NameThatPointsAtItself", Answer("8180", "0001", "c019000100010000003c00040a4d0202")},
      {"NameThatPointsForward", Answer("8180", "0001", "c0ff000100010000003c00040a4d0202")},
      {"AliasLongerThanItsData", Answer("8180", "0001", "c00c000500010000003c00020162c010")},
      {"AliasOfNothing", Answer("8180", "0001", "c00c000500010000003c0000")},
  };
}

INSTANTIATE_TEST_SUITE_P(All, HostileDns, testing::ValuesIn(HostileAnswers()),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(ReverseName, IsOfBothFamilies) {
  EXPECT_EQ(ReverseName(Hex("0a4d0102")), "2.1.77.10.in-addr.arpa");
  EXPECT_EQ(ReverseName(Hex("20010db8000000000000000000000001")),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

}  // namespace
}  // namespace stele::machined
