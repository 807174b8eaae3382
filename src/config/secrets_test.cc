#include "config/secrets.h"

#include "config/machine_config_check.h"
#include "config/proto_to_yaml.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace stele::config {
namespace {

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
