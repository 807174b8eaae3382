#include "config/secrets.h"

#include <random>

#include "absl/strings/str_replace.h"
#include "config/machine_config_check.h"
#include "config/proto_to_yaml.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace stele::config {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

v1::MachineConfig Parse(absl::string_view yaml) {
  v1::MachineConfig config;
  std::vector<Problem> problems = ParseYaml(yaml, {}, &config);
  EXPECT_THAT(problems, IsEmpty()) << yaml << ToString(problems.front());
  return config;
}

// Each way to write a secret, with comments and letters of more than one byte around.
constexpr char kText[] = R"(# Größe: ünïcode 🪨 before the secrets
apiVersion: stele.dev/v1   # first
kind: MachineConfig
api:
  clientCA: A
  certificate: C
  # the key of the node
  key: |
    -----BEGIN HUSH-----
    hush1
    -----END HUSH-----

# after the block
network: {hostname: "nöde"}
kubelet:
  bootstrap: {server: s, ca: c, token: 'hush2'} # flow
  staticPods:
  - name: one
    manifest: >-
      hush3
      folded
    # between
  - manifest: "hush4 \"quoted\""
    name: two
)";

constexpr char kHidden[] = R"(# Größe: ünïcode 🪨 before the secrets
apiVersion: stele.dev/v1   # first
kind: MachineConfig
api:
  clientCA: A
  certificate: C
  # the key of the node
  key: (secret)

# after the block
network: {hostname: "nöde"}
kubelet:
  bootstrap: {server: s, ca: c, token: (secret)} # flow
  staticPods:
  - name: one
    manifest: (secret)
    # between
  - manifest: (secret)
    name: two
)";

TEST(HideSecrets, KeepsAllElseAsWritten) {
  EXPECT_EQ(HideSecrets(kText, v1::MachineConfig()), kHidden);
  // What is not understood is not shown.
  EXPECT_EQ(HideSecrets(absl::StrCat(kText, "unknown: {key: hush}\n"), v1::MachineConfig()), "");
  EXPECT_EQ(HideSecrets("api: [", v1::MachineConfig()), "");
}

TEST(HideSecrets, WhateverTheWriting) {
  std::minstd_rand random(11);
  auto pick = [&](std::vector<std::string> from) { return from[random() % from.size()]; };
  int good = 0;
  for (int round = 0; round < 2000; ++round) {
    auto filler = [&] { return pick({"", "# ünï 🪨 \t code\n", "\n", "   \n", "# a\n\n# b\n"}); };
    auto block = [&](int indent) {
      std::string in(indent + 2, ' ');
      return pick({"|\n" + in + "hush\n" + in + "  hush # no comment\n", "|-\n" + in + "hüsh hush\n\n\n",
                   "|+\n" + in + "hush\n\n", ">\n" + in + "hush\n\n" + in + "hush\n", "|2 # said\n" + in + "hush\n",
                   "'hush ''🪨'\n", "\"hush \\\" \\n\"  # said\n", "hush\n", "hush\n" + in + "hush\n",
                   "\"hush\n" + in + "hush\" \n", "''\n"});
    };
    std::string text =
        filler() + "apiVersion: v\nkind: k\napi:\n  clientCA: \"ü\"\n" + filler() + "  certificate: C\n  key: " +
        pick({"hush # said\n", "|\n    hush\n", "|2\n    hush\n\n  # said\n", "'hush'\n", "\"hush\"\n"}) + filler() +
        "kubelet:\n  kubeconfig: " + block(2) + filler() +
        "  staticPods:\n  - name: \"n🪨\"\n    manifest: " + pick({"hush", "'hush'", "|\n      hüsh\n      hush"});
    if (random() % 2 != 0) text += "\n";
    if (random() % 3 == 0) text = absl::StrReplaceAll(text, {{"\n", "\r\n"}});
    v1::MachineConfig config;
    if (!ParseYaml(text, {}, &config).empty()) continue;  // a tab here, a break there
    ++good;
    std::string hidden = HideSecrets(text, config);
    ASSERT_THAT(hidden, AllOf(Not(HasSubstr("hush")), Not(HasSubstr("hüsh")), Not(IsEmpty()))) << text;
    RestoredText restored = RestoreSecrets(hidden, config);
    ASSERT_THAT(restored.problems, IsEmpty()) << text << hidden << ToString(restored.problems.front());
    ASSERT_EQ(Parse(restored.yaml).DebugString(), config.DebugString()) << text << hidden << restored.yaml;
  }
  EXPECT_GT(good, 1000);
}

TEST(RestoreSecrets, PutsThemBackWhereTheyWere) {
  v1::MachineConfig base = Parse(kText);
  RestoredText restored = RestoreSecrets(kHidden, base);
  EXPECT_THAT(restored.problems, IsEmpty());
  v1::MachineConfig again = Parse(restored.yaml);
  EXPECT_EQ(again.DebugString(), base.DebugString());
  EXPECT_THAT(restored.yaml, HasSubstr("# the key of the node"));
  // Hidden once more it is the same text, but for the empty line that belonged to a block.
  EXPECT_EQ(HideSecrets(restored.yaml, base), kHidden);
  // A text that hides nothing stays as it is, and so does one that is broken.
  EXPECT_EQ(RestoreSecrets(kText, base).yaml, kText);
  EXPECT_EQ(RestoreSecrets("api: [\n", base).yaml, "api: [\n");
}

TEST(RestoreSecrets, FindsElementsByTheirName) {
  v1::MachineConfig base = Parse(kText);
  constexpr char kEdited[] = R"(apiVersion: stele.dev/v1
kind: MachineConfig
api: {clientCA: A, certificate: C, key: (secret)}
kubelet:
  staticPods:
  - {name: new, manifest: mine}
  - {manifest: (secret), name: two}
)";
  v1::MachineConfig edited = Parse(RestoreSecrets(kEdited, base).yaml);
  EXPECT_EQ(edited.kubelet().static_pods(0).manifest(), "mine");
  EXPECT_EQ(edited.kubelet().static_pods(1).manifest(), "hush4 \"quoted\"");
}

TEST(RestoreSecrets, TellsWhereThereIsNoneToKeep) {
  v1::MachineConfig base = Parse(kText);
  constexpr char kEdited[] = R"(apiVersion: stele.dev/v1
kind: MachineConfig
api: {clientCA: A, certificate: C, key: (secret)}
kubelet:
  kubeconfig: (secret)
  staticPods:
  - {name: three, manifest: (secret)}
network: {hostname: (secret)}
)";
  RestoredText restored = RestoreSecrets(kEdited, base);
  ASSERT_EQ(restored.problems.size(), 2u);
  EXPECT_EQ(ToString(restored.problems[0]),
            "5:15: kubelet.kubeconfig: is (secret), and the running configuration has no secret there to keep");
  EXPECT_EQ(restored.problems[1].path, "kubelet.staticPods[0].manifest");
  // No secret field: it is the word itself, and nothing is filled in.
  EXPECT_THAT(restored.yaml, HasSubstr("hostname: (secret)"));
}

TEST(ToComparable, TellsThatASecretDiffersAndNotWhat) {
  v1::MachineConfig before = Parse(kText), after = before;
  EXPECT_EQ(ToComparable(before, after).before, ToComparable(before, after).after);
  after.mutable_api()->set_key("hush5");
  after.mutable_kubelet()->mutable_static_pods()->DeleteSubrange(0, 1);
  after.mutable_kubelet()->mutable_static_pods(0)->set_manifest("hush6");
  ComparableTexts texts = ToComparable(before, after);
  for (const std::string& text : {texts.before, texts.after}) EXPECT_THAT(text, Not(HasSubstr("hush")));
  EXPECT_THAT(texts.before, HasSubstr("  key: (secret)\n"));
  EXPECT_THAT(texts.after, HasSubstr("  key: (secret, changed)\n"));
  EXPECT_THAT(texts.after, HasSubstr("token: (secret)\n"));
  EXPECT_THAT(texts.after, HasSubstr("manifest: (secret, changed)\n"));
}

}  // namespace
}  // namespace stele::config
