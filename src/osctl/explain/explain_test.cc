// osctl explain, and what its notes say of limits and examples held against the check of a configuration.
#include "osctl/explain/explain.h"

#include <gmock/gmock.h>

#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "config/config_patch.h"
#include "config/machine_config_check.h"
#include "osctl/explain/field_notes.h"
#include "osctl/failure.h"
#include "osctl/fake_node.h"
#include "osctl/output/resource.h"

namespace stele::osctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(Explain, AKey) {
  EXPECT_EQ(*Explain("network.interfaces[0].routes.via", 72),
            "network.interfaces.routes.via  <text>\n"
            "\n"
            "The gateway.\n"
            "\n"
            "Default:  none: what it leads to is on the link\n"
            "Limits:   of the same family as to, and within a network of the\n"
            "          interface's addresses unless dhcp is true\n"
            "Change:   done at once; dhcpcd starts, stops or restarts when other\n"
            "          links ask DHCP\n"
            "\n"
            "Example:\n"
            "  network:\n"
            "    interfaces:\n"
            "    - name: eth0\n"
            "      addresses: [192.0.2.10/24, \"2001:db8::10/64\"]\n"
            "      routes:\n"
            "      - to: default\n"
            "        via: 192.0.2.1\n"
            "      - to: 198.51.100.0/24\n"
            "        via: 192.0.2.254\n"
            "        metric: 100\n"
            "      mtu: 1500\n"
            "    - name: eth1\n"
            "      dhcp: true\n");
}

TEST(Explain, WhatIsBelowAKey) {
  std::string text = *Explain("api", 80);
  EXPECT_THAT(text, StartsWith("api  <keys, required>\n\nWho may manage the node, and how it proves itself.\n"));
  EXPECT_THAT(text, HasSubstr("\n  key          text, required, secret  Its private key.\n"));
  EXPECT_THAT(text, HasSubstr("\n                                       another's place.\n"));
}

TEST(Explain, AResourceType) {
  std::string text = *Explain("svc", 100);
  EXPECT_THAT(text, StartsWith("resource services (also service, svc)\n\nA service of the node and how it fares."));
  EXPECT_THAT(text, HasSubstr("\n  lastExit  text           How its last process ended:"));
  std::string state = *Explain("svc.state", 100);
  EXPECT_THAT(state, StartsWith("services.state  <word>\n\nWhat it is doing.\n\nColumn STATE.\n"));
  EXPECT_THAT(state, HasSubstr("\n  Backoff    Ended by itself; waits for its next start.\n"));
  EXPECT_THAT(*Explain("services.lastExit", 100), HasSubstr("Column LAST EXIT of `osctl get -o wide`.\n"));
}

TEST(Explain, WhatThereIs) {
  std::string text = *Explain("", 80);
  EXPECT_THAT(text, HasSubstr("  network     keys            Host name, addresses, name servers.\n"));
  EXPECT_THAT(text, HasSubstr(" linkcounters "));
  // A name that both have is the key, and says so.
  EXPECT_THAT(*Explain("time", 80), HasSubstr("There is a resource type of this name, too: `osctl explain clock`."));
}

TEST(Explain, DidYouMean) {
  auto told = [](absl::string_view path) {
    absl::Status status = Explain(path, 80).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kNotFound) << path;
    return FailureLine("", status);
  };
  EXPECT_EQ(told("netwrok"),
            "osctl: 'netwrok' is no key of the configuration and no resource type; did you mean 'network'?\n");
  EXPECT_EQ(told("network.interfaces[1].addreses"),
            "osctl: 'network.interfaces' has no 'addreses'; did you mean 'network.interfaces.addresses'?\n");
  EXPECT_EQ(told("kubelet.node_ip"), "osctl: 'kubelet' has no 'node_ip'; did you mean 'kubelet.nodeIP'?\n");
  EXPECT_EQ(told("network.colour"), "osctl: 'network' has no 'colour'; `osctl explain network` lists what it has\n");
  EXPECT_EQ(told("kubelet.nodeLabels.rack"),
            "osctl: 'kubelet.nodeLabels' holds names to texts: there is no 'rack' below it; see `osctl explain "
            "kubelet.nodeLabels`\n");
  EXPECT_EQ(told("kind.x"), "osctl: 'kind' holds text, required: there is no 'x' below it; see `osctl explain kind`\n");
  EXPECT_EQ(told("serivces.state"),
            "osctl: 'serivces' is no key of the configuration and no resource type; did you mean 'services'?\n");
}

TEST(Explain, TheCommandAsksNoNode) {
  Outcome run = RunOsctl({"explain", "upgrade.deadline"}, {});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("Limits:   60 to 3600, or 0: 600\n"));
  EXPECT_THAT(run.out, Not(HasSubstr("\x1b")));
  EXPECT_EQ(RunOsctl({"explain", "nonsense"}, {}).code, 6);
  EXPECT_THAT(RunOsctl({"explain", "-r"}, {}).out, HasSubstr("\n  network.interfaces.routes.metric  number\n"));
  EXPECT_EQ(RunOsctl({"__complete", "explain", "network.ho"}, {}).out, "network.hostname\n");
}

std::vector<std::string> ConfigPaths() {
  std::vector<std::string> paths;
  for (const std::string& path : ExplainedPaths()) {
    if (FindResourceType(path) == nullptr || path == "time") paths.push_back(path);
  }
  return paths;
}

// Whoever adds a key to the schema says here what it does.
TEST(FieldNotes, EveryKeyHasThem) {
  for (const std::string& path : ConfigPaths()) {
    EXPECT_FALSE(NotesOf(path).change.empty()) << path;
    EXPECT_FALSE(NotesOf(path).example.empty()) << path;
    std::string text = *Explain(path, 100);
    EXPECT_THAT(text, Not(HasSubstr(">\n\n\n"))) << path << " has no comment";
    EXPECT_THAT(NotesOf(path).example, HasSubstr(path.substr(path.rfind('.') + 1) + ":"))
        << path << " is not in its example";
  }
}

// A good configuration, with `patch` put into it: what is wrong with it.
class NotesTest : public testing::Test {
 protected:
  void SetUp() override {
    Outcome made = RunOsctl({"gen", "node", "demo", "-o", directory_.path() + "/keys"}, {});
    ASSERT_EQ(made.code, 0) << made.err;
    base_ = *ReadFile(directory_.path() + "/keys/demo.yaml");
  }

  std::vector<std::string> Problems(absl::string_view patch) {
    config::ParsedYamlTree base = config::ReadYamlTree(base_), change = config::ReadYamlTree(patch);
    EXPECT_TRUE(base.ok() && change.ok()) << change.problem.reason << " in\n" << patch;
    std::string yaml = config::WriteYamlTree(config::MergePatch(base.tree, change.tree));
    std::vector<std::string> problems;
    for (const config::Problem& problem : config::ParseMachineConfig(yaml).problems) {
      problems.push_back(absl::StrCat(problem.path, ": ", problem.reason));
    }
    return problems;
  }

  TemporaryDirectory directory_;
  std::string base_;
};

TEST_F(NotesTest, ExamplesAreTaken) {
  ASSERT_THAT(Problems("{}"), ElementsAre());
  for (const std::string& path : ConfigPaths()) {
    std::string example(NotesOf(path).example);
    if (absl::StrContains(example, "…")) {
      // No certificate is short enough to be shown.
      EXPECT_TRUE(config::ReadYamlTree(example).ok()) << path;
      continue;
    }
    EXPECT_THAT(Problems(example), ElementsAre()) << path;
  }
}

TEST_F(NotesTest, LimitsOfNumbersAreThose) {
  struct Case {
    const char* path;
    const char* patch;  // with $ for the value
    uint64_t least, most;
  };
  for (const Case& c : {
           Case{"network.interfaces.mtu", "network: {interfaces: [{name: a, dhcp: true, mtu: $}]}", 576, 65535},
           Case{"network.interfaces.routes.metric",
                "network: {interfaces: [{name: a, dhcp: true, routes: [{to: default, via: 192.0.2.1, metric: $}]}]}", 0,
                4294967295},
           Case{"upgrade.deadline", "upgrade: {deadline: $}", 60, 3600},
           Case{"upgrade.drainTimeout", "upgrade: {drainTimeout: $}", 0, 3600},
           Case{"install.disk.minSize", "install: {disk: {minSize: $}}", 0, 4294967295},
       }) {
    EXPECT_THAT(NotesOf(c.path).limits, HasSubstr(absl::StrCat(c.least, " to ", c.most))) << c.path;
    auto with = [&](uint64_t value) {
      std::string patch = c.patch;
      return Problems(patch.replace(patch.find('$'), 1, absl::StrCat(value)));
    };
    if (c.least > 1) {
      EXPECT_THAT(with(0), ElementsAre()) << c.path;  // as if it were not there
      EXPECT_THAT(with(c.least - 1), Not(ElementsAre())) << c.path;
    }
    // A size of 0 alone names no disk.
    bool alone = c.path == absl::string_view("install.disk.minSize");
    EXPECT_THAT(with(alone ? 1 : c.least), ElementsAre()) << c.path;
    EXPECT_THAT(with(c.most), ElementsAre()) << c.path;
    EXPECT_THAT(with(c.most + 1), Not(ElementsAre())) << c.path;
  }
}

TEST_F(NotesTest, WhatLimitsForbidIsRefused) {
  for (const char* wrong : {
           "network: {hostname: localhost}",
           "network: {hostname: UPPER}",
           "network: {interfaces: [{name: a}]}",
           "network: {interfaces: [{name: lo, dhcp: true}]}",
           "network: {interfaces: [{name: a234567890123456, dhcp: true}]}",
           "network: {interfaces: [{name: a, dhcp: true}, {name: a, dhcp: true}]}",
           "network: {interfaces: [{name: a, dhcp: true, addresses: [192.0.2.1/24]}]}",
           "network: {interfaces: [{name: a, addresses: [192.0.2.1]}]}",
           "network: {interfaces: [{name: a, addresses: [192.0.2.1/24], routes: [{to: default}]}]}",
           "network: {interfaces: [{name: a, addresses: [192.0.2.1/24], routes: [{to: default, via: 10.0.0.1}]}]}",
           "network: {nameservers: [a.example.org]}",
           "storage: {disk: vda}",
           "{storage: {disk: /dev/vda}, install: {disk: {model: a}}}",
           "kubelet: {bootstrap: {server: \"http://a\", ca: x, token: a}}",
           "kubelet: {kubeconfig: \"kind: Config\"}",
           "kubelet: {staticPods: [{name: A, manifest: x}]}",
           "kubelet: {clusterDNS: [a.example.org]}",
           "kubelet: {nodeIP: a}",
           "install: {disk: {}}",
           "install: {disk: {minSize: 2, maxSize: 1}}",
       }) {
    EXPECT_THAT(Problems(wrong), Not(ElementsAre())) << wrong;
  }
}

}  // namespace
}  // namespace stele::osctl
