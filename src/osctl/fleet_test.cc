// Many nodes at once, as a user of a fleet has them: a thousand addresses of loopback, each a node.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <set>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "osctl/fake_node.h"

namespace stele::osctl {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

constexpr int kNodes = 1000;

std::string NameOf(int i) { return absl::StrFormat("node-%04d", i); }
std::string HostOf(int i) { return absl::StrFormat("127.9.%d.%d", i / 250, i % 250 + 1); }

class FleetTest : public FakeNodeTest {
 protected:
  void SetUp() override {
    FakeNodeTest::SetUp();
    fleet_ = std::make_unique<FakeNode>(*store().Load("demo"), *store().LoadCertificate("client-ca"), 0, "0.0.0.0");
    contexts_ = *LoadContexts(keys() + "/osctl.yaml");
    auto* context = contexts_.mutable_contexts(0);
    context->clear_endpoints();
    context->set_server_name("localhost");
    auto* group = context->add_classes();
    group->set_name("b");
    group->set_selector("zone=b");
  }

  // Nodes with labels, of which zone b are each fourth.
  void Make(int count) {
    for (int i = 0; i < count; ++i) Add(i, fleet_->port());
    Save();
  }
  stele::config::v1::ClientNode* Add(int i, int port) {
    auto* node = contexts_.mutable_contexts(0)->add_nodes();
    node->set_name(NameOf(i));
    node->set_address(absl::StrCat(HostOf(i), ":", port));
    (*node->mutable_labels())["zone"] = i % 4 == 0 ? "b" : "a";
    return node;
  }
  void Save() { ASSERT_TRUE(SaveContexts(keys() + "/osctl.yaml", contexts_).ok()); }

  // How many times each node is in the first column.
  static std::map<std::string, int> Rows(const std::string& table) {
    std::map<std::string, int> rows;
    for (absl::string_view line : absl::StrSplit(table, '\n', absl::SkipEmpty())) {
      ++rows[std::string(line.substr(0, line.find(' ')))];
    }
    return rows;
  }

  stele::config::v1::ClientConfig contexts_;
  std::unique_ptr<FakeNode> fleet_;
};

TEST_F(FleetTest, AThousandNodes) {
  Make(kNodes);
  Outcome run = Osctl({"version", "-n", "all", "--timeout", "120s"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.err, "");
  auto rows = Rows(run.out);
  for (int i = 0; i < kNodes; ++i) EXPECT_EQ(rows[NameOf(i)], 3) << i;  // stele, kernel, containerd
  EXPECT_EQ(rows.size(), kNodes + 2u);                                  // the heading and osctl itself
  Outcome some = Osctl({"version", "-n", "@b", "--timeout", "120s"});
  EXPECT_EQ(Rows(some.out).size(), kNodes / 4 + 2u);
}

TEST_F(FleetTest, NoMoreAtATimeThanIsSaid) {
  fleet_->state().version_takes = absl::Milliseconds(20);
  Make(24);
  EXPECT_EQ(Osctl({"version", "-n", "all", "--concurrency", "3"}).code, 0);
  EXPECT_LE(fleet_->state().versions_most, 3);
  fleet_->state().version_takes = absl::Seconds(2);  // long enough that some meet also on a machine that is starved
  EXPECT_EQ(Osctl({"version", "-n", "all", "--concurrency", "24"}).code, 0);
  EXPECT_GT(fleet_->state().versions_most, 3);
}

TEST_F(FleetTest, ThoseThatFailAreNamedAndCounted) {
  for (int i = 0; i < 20; ++i) Add(i, i % 7 == 3 ? 1 : fleet_->port());  // 3, 10, 17 refuse
  Add(20, fleet_->port())->set_server_name("somebody-else");
  Save();
  Outcome run = Osctl({"version", "-n", "all"});
  EXPECT_EQ(run.code, 4) << "the highest of 3 and 4";
  EXPECT_EQ(Rows(run.out).size(), 17 + 2u);
  for (const char* name : {"node-0003", "node-0010", "node-0017"}) {
    EXPECT_THAT(run.err, HasSubstr(absl::StrCat("osctl: ", name, ": version: connect to 127.9.0.")));
  }
  EXPECT_THAT(run.err, HasSubstr("osctl: node-0020: version: the node's certificate is for "));
  std::vector<std::string> lines = absl::StrSplit(run.err, '\n', absl::SkipEmpty());
  EXPECT_EQ(lines.size(), 5u) << run.err;
  EXPECT_THAT(lines.back(), EndsWith("; authentication (exit 4): node-0020"));
  EXPECT_THAT(lines.back(), HasSubstr("osctl: 4 of 21 nodes failed; unreachable (exit 3): node-00"));
}

TEST_F(FleetTest, OneSilentNodeHoldsNobodyUp) {
  UniqueFd silent(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in bound = {};
  bound.sin_family = AF_INET;
  bound.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(silent.get(), reinterpret_cast<sockaddr*>(&bound), sizeof bound), 0);
  ASSERT_EQ(::listen(silent.get(), 16), 0);
  socklen_t size = sizeof bound;
  ::getsockname(silent.get(), reinterpret_cast<sockaddr*>(&bound), &size);
  Make(4);
  auto* mute = Add(5, ntohs(bound.sin_port));
  mute->set_address(absl::StrCat("127.0.0.1:", ntohs(bound.sin_port)));
  Save();
  absl::Time began = absl::Now();
  Outcome run = Osctl({"version", "-n", "all", "--deadline", "3s", "--timeout", "60s"});
  EXPECT_EQ(run.code, 3);
  EXPECT_LT(absl::Now() - began, absl::Seconds(30));
  EXPECT_EQ(Rows(run.out).size(), 4 + 2u) << run.err;
  EXPECT_THAT(run.err, HasSubstr("osctl: node-0005: version: not done within 3s; give it longer with --deadline\n"));
}

TEST_F(FleetTest, LinesBeginWithTheirNode) {
  fleet_->state().log = "first\nsecond\n";
  Make(3);
  Outcome run = Osctl({"logs", "kubelet", "-n", "all"});
  EXPECT_EQ(run.code, 0) << run.err;
  std::vector<std::string> lines = absl::StrSplit(run.out, '\n', absl::SkipEmpty());
  EXPECT_EQ(std::set<std::string>(lines.begin(), lines.end()),
            (std::set<std::string>{"node-0000: first", "node-0000: second", "node-0001: first", "node-0001: second",
                                   "node-0002: first", "node-0002: second"}));
}

TEST_F(FleetTest, WhoFollowsFollowsAll) {
  Make(3);
  Outcome run = Osctl({"logs", "kubelet", "-f", "-n", "all", "--concurrency", "2"});
  EXPECT_EQ(run.code, 2);
  EXPECT_THAT(run.err, HasSubstr("--concurrency 2 is too few for 3 nodes"));
}

TEST_F(FleetTest, TheInventoryIsShown) {
  Make(5);
  EXPECT_EQ(Osctl({"context", "nodes", "-n", "@b", "-o", "name"}).out, "node-0000\nnode-0004\n");
  std::string row = absl::StrCat("node-0004  127.9.0.5:", fleet_->port(), "  b        zone=b\n");
  EXPECT_THAT(Osctl({"context", "nodes"}).out, HasSubstr(row));
  EXPECT_THAT(Osctl({"context", "nodes", "-o", "yaml"}).out, HasSubstr("classes:\n  - b\n"));
}

TEST_F(FleetTest, ClassesAndNodesAreCompleted) {
  Make(2);
  Outcome run = Osctl({"__complete", "-n", ""});
  for (const char* word : {"all\n", "@b\n", "node-0000\n", "node-0001\n"}) EXPECT_THAT(run.out, HasSubstr(word));
}

}  // namespace
}  // namespace stele::osctl
