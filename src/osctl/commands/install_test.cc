// osctl install and reset.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdlib.h>

#include "absl/strings/str_join.h"
#include "osctl/fake_node.h"

namespace stele::osctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class InstallTest : public FakeNodeTest {
 protected:
  // As typed on a terminal by somebody who then answers `answer`.
  Outcome OnTerminal(const std::vector<std::string>& words, const std::string& answer) {
    UniqueFd keyboard(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    EXPECT_EQ(::grantpt(keyboard.get()) | ::unlockpt(keyboard.get()), 0);
    UniqueFd terminal(::open(::ptsname(keyboard.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    EXPECT_TRUE(WriteAll(keyboard.get(), answer + "\n").ok());
    return RunOsctl(words, {{"OSCTLCONFIG", keys() + "/osctl.yaml"}}, terminal.get());
  }
  const std::string plan_ = "/dev/vda (QEMU, 8.0GiB): wipe, and install 0.2.0\n";
};

TEST_F(InstallTest, ShowsThePlanAndInstalls) {
  Outcome run = Osctl({"install", "--disk", "/dev/vda", "--wipe", "--reboot", "--yes"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, plan_);
  EXPECT_THAT(run.err, HasSubstr("installed in "));
  EXPECT_THAT(run.err, HasSubstr("; reboots\n"));
  EXPECT_THAT(run.err, HasSubstr("warning: the firmware takes no boot entries\n"));
  EXPECT_THAT(node_->state().calls,
              ElementsAre("install disk { path: \"/dev/vda\" } wipe: true validate_only: true then: INSTALL_END_REBOOT",
                          "install disk { path: \"/dev/vda\" } wipe: true then: INSTALL_END_REBOOT"));
}

TEST_F(InstallTest, DryRunAndSelectors) {
  EXPECT_EQ(Osctl({"install", "--dry-run"}).out, plan_);
  Osctl({"install", "--dry-run", "--serial", "S1", "--model", "QEMU", "--wwid", "naa.5", "--min-size", "8",
         "--max-size", "64"});
  EXPECT_THAT(node_->state().calls,
              ElementsAre("install validate_only: true",
                          "install disk { serial: \"S1\" model: \"QEMU\" wwid: \"naa.5\" min_size: 8 max_size: 64 } "
                          "validate_only: true"));
}

TEST_F(InstallTest, AsksFirst) {
  Outcome no = OnTerminal({"install", "--wipe"}, "n");
  EXPECT_EQ(no.code, 1);
  EXPECT_EQ(no.out, plan_);
  EXPECT_EQ(no.err, "wipe that disk and install, on " + address() + "? [y/N] nothing was done\n");
  EXPECT_EQ(node_->state().calls.size(), 1u);  // the plan
  EXPECT_EQ(OnTerminal({"install", "--wipe"}, "y").code, 0);
  Outcome script = Osctl({"install", "--wipe"});
  EXPECT_EQ(script.code, 2);
  EXPECT_THAT(script.err, HasSubstr("nothing was done: there is no terminal to ask on; say --yes"));
}

TEST_F(InstallTest, RefusalsAndBreaks) {
  node_->state().answer = {grpc::StatusCode::FAILED_PRECONDITION, "/dev/vda holds a GPT; --wipe takes it all the same"};
  Outcome refused = Osctl({"install", "--yes"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("install: /dev/vda holds a GPT"));
  node_->state().answer = grpc::Status::OK;
  node_->state().install_breaks_at = "table";
  Outcome broken = Osctl({"install", "--yes"});
  EXPECT_EQ(broken.code, 3);
  EXPECT_THAT(broken.err, HasSubstr("install: step image: machined is restarting; the node installs on by itself"));
  EXPECT_EQ(Osctl({"install", "--reboot", "--power-off"}).code, 2);
}

TEST_F(InstallTest, Reset) {
  Outcome dry = Osctl({"reset", "--state", "--dry-run"});
  EXPECT_EQ(dry.out, "wipe STELE-STATE\n");
  Outcome run =
      Osctl({"reset", "--state", "--data", "--keep", "lib/etcd", "--keep", "log", "--thorough", "--wait", "--yes"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("resets and reboots\nis back after "));
  EXPECT_THAT(node_->state().calls[2],
              "reset state: true data: true keep: \"lib/etcd\" keep: \"log\" thorough: true then: RESET_END_REBOOT");
  EXPECT_EQ(OnTerminal({"reset", "--data"}, "n").code, 1);
  EXPECT_THAT(Osctl({"reset", "--data", "--power-off", "--yes"}).err, HasSubstr("resets and powers off\n"));
}

TEST_F(InstallTest, ResetsThatMakeNoSense) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"reset"},
                                                {"reset", "--yes"},
                                                {"reset", "--state", "--keep", "x"},
                                                {"reset", "--data", "--power-off", "--wait"},
                                                {"reset", "--data"}}) {
    EXPECT_EQ(Osctl(words).code, 2) << absl::StrJoin(words, " ");
  }
}

}  // namespace
}  // namespace stele::osctl
