#include "config/yaml_to_proto.h"

#include "config/proto_to_yaml.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::config {
namespace {

using ::stele::config::v1::MachineConfig;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kGood[] = R"(apiVersion: stele.dev/v1
kind: MachineConfig
api:
  clientCA: |
    -----BEGIN CERTIFICATE-----
    AAAA
    -----END CERTIFICATE-----
  certificate: "cert"
  key: 'key'
network:
  hostname: node-1   # a comment
  interfaces:
  - name: eth0
    dhcp: true
    mtu: 1400
  - {name: eth1, addresses: [192.0.2.10/24, "2001:db8::1/64"]}
kubelet:
  nodeLabels:
    zone: a
    "stele.dev/rack": "7"
  staticPods:
    - name: demo
      manifest: |-
        kind: Pod
)";

std::vector<std::string> Lines(const std::vector<Problem>& problems) {
  std::vector<std::string> lines;
  for (const Problem& problem : problems) lines.push_back(ToString(problem));
  return lines;
}

std::vector<std::string> ProblemsOf(absl::string_view yaml) {
  MachineConfig config;
  return Lines(ParseYaml(yaml, {}, &config));
}

// A good head, so that only what follows is wrong.
std::string WithHead(absl::string_view rest) {
  return absl::StrCat("apiVersion: a\nkind: b\napi: {clientCA: c, certificate: d, key: e}\n", rest);
}

TEST(ParseYaml, FillsTheMessage) {
  MachineConfig config;
  MarkMap marks;
  ASSERT_THAT(Lines(ParseYaml(kGood, {}, &config, nullptr, &marks)), IsEmpty());
  EXPECT_EQ(config.api_version(), "stele.dev/v1");
  EXPECT_EQ(config.api().client_ca(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  ASSERT_EQ(config.network().interfaces_size(), 2);
  EXPECT_TRUE(config.network().interfaces(0).dhcp());
  EXPECT_EQ(config.network().interfaces(0).mtu(), 1400u);
  EXPECT_THAT(config.network().interfaces(1).addresses(), ElementsAre("192.0.2.10/24", "2001:db8::1/64"));
  EXPECT_EQ(config.kubelet().node_labels().at("stele.dev/rack"), "7");
  EXPECT_EQ(config.kubelet().static_pods(0).manifest(), "kind: Pod");
  EXPECT_EQ(marks.at("network.interfaces[0].dhcp").line, 14u);
  EXPECT_EQ(marks.at("network.interfaces[0].dhcp").column, 11u);
}

TEST(ParseYaml, PrintsAndReadsBackTheSame) {
  MachineConfig config, again;
  ASSERT_THAT(ParseYaml(kGood, {}, &config), IsEmpty());
  auto* labels = config.mutable_kubelet()->mutable_node_labels();
  for (const char* value : {"yes",      "12",    "0x1f",   "a: b", "a #b", "-",   "- a", "*a",       "&a",      "!a",
                            "{",        "\"",    "\\",     "'",    "a\tb", "a\n", " a",  "a ",       "a\n b\n", " a\nb",
                            "\na",      "a\n\n", "a\n\nb", "é",    "%a",   "@a",  "`",   "a:",       "|",       ">",
                            "a\n  \nb", "---",   "...",    "?",    "? a",  "~",   "",    "a\n\tb\n", "#"}) {
    (*labels)[absl::StrCat("k", labels->size())] = value;
    (*labels)[absl::StrCat(value, "key")] = "x";
    if (*value != '\0') config.mutable_network()->add_search(value);
  }
  std::string yaml = ProtoToYaml(config, Secrets::kPrinted);
  ASSERT_THAT(Lines(ParseYaml(yaml, {}, &again)), IsEmpty()) << yaml;
  EXPECT_EQ(config.ShortDebugString(), again.ShortDebugString()) << yaml;
}

TEST(ProtoToYaml, LooksAsAPersonWouldWriteItWithoutSecrets) {
  MachineConfig config;
  ASSERT_THAT(ParseYaml(kGood, {}, &config), IsEmpty());
  EXPECT_EQ(ProtoToYaml(config, Secrets::kRedacted), R"(apiVersion: stele.dev/v1
kind: MachineConfig
api:
  clientCA: |
    -----BEGIN CERTIFICATE-----
    AAAA
    -----END CERTIFICATE-----
  certificate: cert
  key: (secret)
network:
  hostname: node-1
  interfaces:
  - name: eth0
    dhcp: true
    mtu: 1400
  - name: eth1
    addresses:
    - 192.0.2.10/24
    - 2001:db8::1/64
kubelet:
  staticPods:
  - name: demo
    manifest: (secret)
  nodeLabels:
    stele.dev/rack: "7"
    zone: a
)");
}

TEST(ParseYaml, ReportsEveryProblemInOrder) {
  EXPECT_THAT(
      ProblemsOf(R"(apiVersion: 1
api:
  certificat: x
  key: ""
network:
  interfaces:
    - dchp: yes
      dhcp: yes
      mtu: -1
    - eth0
  hostname: [a]
  hostname: b
kubelet: 
time: {servers: pool}
)"),
      ElementsAre(
          "1:1: kind: missing; expected a text",
          "1:13: apiVersion: expected a text; YAML reads this as a number, truth value or null: put it in quotes",
          "3:3: api.certificat: unknown key 'certificat'; did you mean 'certificate'?",
          "3:3: api.clientCA: missing; expected a text", "3:3: api.certificate: missing; expected a text",
          "4:8: api.key: must not be empty",
          "7:7: network.interfaces[0].dchp: unknown key 'dchp'; did you mean 'dhcp'?",
          "7:7: network.interfaces[0].name: missing; expected a text",
          "8:13: network.interfaces[0].dhcp: expected true or false",
          "9:12: network.interfaces[0].mtu: expected a whole number from 0 to 4294967295",
          "10:7: network.interfaces[1]: expected a mapping (key: value)",
          "11:13: network.hostname: expected a text, found a list", "12:3: network.hostname: duplicate key 'hostname'",
          "13:9: kubelet: expected a mapping (key: value), found nothing",
          "14:17: time.servers: expected a list (- value)"));
}

TEST(ParseYaml, ToleratesUnknownKeysOnlyWhenAsked) {
  MachineConfig config;
  std::vector<Problem> warnings;
  std::string yaml = WithHead("future: {a: [1, 2], b: {c: d}}\nnetwork: {hostname: n, colour: red}\n");
  EXPECT_THAT(ParseYaml(yaml, {.tolerate_unknown_keys = true}, &config, &warnings), IsEmpty());
  EXPECT_THAT(Lines(warnings), ElementsAre("4:1: future: unknown key 'future' is ignored",
                                           "5:24: network.colour: unknown key 'colour' is ignored"));
  EXPECT_EQ(config.network().hostname(), "n");
  EXPECT_EQ(ParseYaml(yaml, {}, &config).size(), 2u);
}

TEST(ParseYaml, RefusesWhatIsYamlButNotOurs) {
  EXPECT_THAT(ProblemsOf(WithHead("time: &t {servers: [a]}")),
              ElementsAre("4:7: time: anchors (&name) are not allowed"));
  EXPECT_THAT(ProblemsOf(WithHead("time: *t")),
              ElementsAre("4:7: time: aliases (*name) are not allowed; write the value again"));
  EXPECT_THAT(ProblemsOf(WithHead("time: !t {}")), ElementsAre("4:7: time: tags (!name) are not allowed"));
  EXPECT_THAT(ProblemsOf(WithHead("<<: {}")), ElementsAre("4:1: merge keys (<<) are not allowed"));
  EXPECT_THAT(ProblemsOf(WithHead("---\na: b")), ElementsAre("4:1: a second document; only one is allowed"));
  EXPECT_THAT(ProblemsOf("%YAML 1.1\n---\n" + WithHead("")),
              ElementsAre("1:1: directives (%YAML, %TAG) are not allowed"));
  EXPECT_THAT(ProblemsOf(WithHead("[a]: b")), ElementsAre("4:1: expected a key, a word of at most 256 letters"));
  EXPECT_THAT(ProblemsOf(""), ElementsAre("1:1: expected a mapping, found an empty text"));
  EXPECT_THAT(ProblemsOf("# nothing\n"), ElementsAre("1:1: expected a mapping, found an empty text"));
  EXPECT_THAT(ProblemsOf("hello"), ElementsAre("1:1: expected a mapping (key: value)"));
}

TEST(ParseYaml, RefusesWhatIsNotText) {
  using absl::string_view;
  EXPECT_THAT(ProblemsOf(string_view("a: b\n\0", 6)), ElementsAre("2:1: control character U+0000 is not allowed"));
  EXPECT_THAT(ProblemsOf("a: \xc0\x80"), ElementsAre("1:4: byte 0xc0 is not valid UTF-8"));
  EXPECT_THAT(ProblemsOf("a: \xed\xa0\x80"), ElementsAre("1:4: byte 0xed is not valid UTF-8"));
  EXPECT_THAT(ProblemsOf("\xff\xfe"
                         "a"),
              ElementsAre("1:1: byte 0xff is not valid UTF-8"));
  EXPECT_THAT(ProblemsOf("a: \x1b[2J"), ElementsAre("1:4: control character U+001B is not allowed"));
  EXPECT_THAT(ProblemsOf("a\xe2\x80\xa8: b"), ElementsAre("1:2: control character U+2028 is not allowed"));
  EXPECT_THAT(ProblemsOf(WithHead("network: {hostname: \"a\\0\"}")),
              ElementsAre("4:21: network.hostname: control characters are not allowed in a value"));
  EXPECT_THAT(ProblemsOf(WithHead("network: {hostname: a,\r\n  search: [é]}\r\n")), IsEmpty());
}

TEST(ParseYaml, BoundsDepthNodesAndBytes) {
  EXPECT_THAT(ProblemsOf(WithHead("x: " + std::string(900, '['))),
              ElementsAre("4:1: x: unknown key 'x'; known here: apiVersion, kind, api, network, time, storage, "
                          "kubelet, upgrade, install, logging",
                          "4:35: x: nested deeper than 32 levels"));
  std::string many = "time: {servers: [";
  for (int i = 0; i < 20'001; ++i) many += "a,";
  MachineConfig config;
  std::vector<Problem> problems = ParseYaml(WithHead(many + "]}"), {}, &config);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].reason, "too many keys and values for one file");
  EXPECT_THAT(ProblemsOf(std::string(10 << 20, 'a')),
              ElementsAre("1:1: the text has 10485760 bytes; at most 1048576 are allowed"));
}

TEST(ParseYaml, KnowsASpellingMistake) {
  auto reason = [](const char* key) {
    MachineConfig config;
    return ParseYaml(WithHead(absl::StrCat(key, ": {}")), {}, &config)[0].reason;
  };
  EXPECT_EQ(reason("netwrok"), "unknown key 'netwrok'; did you mean 'network'?");
  EXPECT_EQ(reason("Storage"), "unknown key 'Storage'; did you mean 'storage'?");
  EXPECT_EQ(reason("api_version"), "unknown key 'api_version'; did you mean 'apiVersion'?");
  EXPECT_EQ(
      reason("x"),
      "unknown key 'x'; known here: apiVersion, kind, api, network, time, storage, kubelet, upgrade, install, logging");
}

}  // namespace
}  // namespace stele::config
