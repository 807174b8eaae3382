// osctl support against nodes that mean ill, or break off in the middle.
#include <gmock/gmock.h>

#include "absl/strings/match.h"
#include "base/subprocess.h"
#include "osctl/fake_node.h"
#include "stele/resource/v1/node.pb.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::osctl {
namespace {

using testing::HasSubstr;
using testing::Not;

class SupportTest : public FakeNodeTest {
 protected:
  std::string file() const { return directory_.path() + "/case.tar.gz"; }
  std::string Tar(const std::vector<std::string>& words) {
    std::vector<std::string> argv = {"/usr/bin/tar", "-f", file()};
    argv.insert(argv.end(), words.begin(), words.end());
    absl::StatusOr<SubprocessResult> result = RunSubprocess(argv, {"PATH=/usr/bin:/bin"}, absl::Seconds(20));
    EXPECT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->exit_code, 0) << result->output;
    return result->output;
  }
};

TEST_F(SupportTest, NoNameLeadsOutOfTheNodesFolder) {
  Put("types", "../../etc/cron.d/evil", resource::v1::ResourceType());
  Put("types", "services", resource::v1::ResourceType());
  Put("services", "../../../root/.ssh/authorized_keys", resource::v1::Service());
  Put("../../etc/cron.d/evil", "x", resource::v1::Service());
  Outcome run = Osctl({"support", "-f", file()});
  EXPECT_EQ(run.code, 0) << run.err;
  std::string names = Tar({"-tz"});
  EXPECT_THAT(names, HasSubstr("/resources/.._.._etc_cron.d_evil.json\n"));
  EXPECT_THAT(names, HasSubstr("/logs/.._.._.._root_.ssh_authorized_keys.log\n"));
  EXPECT_THAT(names, Not(HasSubstr("/../")));
}

TEST_F(SupportTest, TheAuditTheBootBeforeAndPodsThatAreGoneAreInIt) {
  Put("types", "services", resource::v1::ResourceType());
  Put("services", "kubelet", resource::v1::Service());
  resource::v1::KeptLog there, gone;
  there.set_pod("default/here");
  there.set_container("main");
  gone.set_pod("default/hello");
  gone.set_container("main");
  gone.set_gone(true);
  Put("keptlogs", "0123/main/0", gone);
  Put("keptlogs", "0123/main/1", gone);
  Put("keptlogs", "4567/main/0", there);
  node_->state().log = "a line\n";
  EXPECT_EQ(Osctl({"support", "-f", file()}).code, 0);
  std::string names = Tar({"-tz"});
  for (const char* name :
       {"/logs/audit.log\n", "/logs/previous-boot/kernel.log\n", "/logs/previous-boot/kubelet.log\n"})
    EXPECT_THAT(names, HasSubstr(name));
  EXPECT_THAT(names, Not(HasSubstr("gone"))) << "what containers say is not asked for";
  EXPECT_EQ(Osctl({"support", "-f", file(), "--containers"}).code, 0);
  names = Tar({"-tz"});
  EXPECT_THAT(names, HasSubstr("/logs/gone/default_hello_main.log\n"));
  EXPECT_THAT(names, Not(HasSubstr("default_here")));
  EXPECT_THAT(node_->state().calls,
              testing::Contains("log container { container: \"default/hello/main\" } tail_lines: 10000"));
}

TEST_F(SupportTest, ALogThatBreaksOffSaysSo) {
  Put("services", "kubelet", resource::v1::Service());
  node_->state().log = std::string(1000, 'a') + "\n" + std::string(1000, 'b') + "\n";
  node_->state().break_log_after = 500;
  Outcome run = Osctl({"support", "-f", file()});
  EXPECT_EQ(run.code, 0) << run.err;
  std::string log = Tar({"-xzO", "--wildcards", "*/logs/kubelet.log"});
  EXPECT_TRUE(absl::StrContains(log, "[osctl: the rest is missing: ")) << log;
}

TEST_F(SupportTest, WithoutAPlaceForTheFileNoNodeIsAsked) {
  Outcome run = Osctl({"support", "-f", directory_.path() + "/nowhere/case.tar.gz"});
  EXPECT_EQ(run.code, static_cast<int>(ExitCode::kLocal));
  EXPECT_THAT(run.err, HasSubstr("make "));
  EXPECT_TRUE(node_->state().calls.empty());
}

}  // namespace
}  // namespace stele::osctl
