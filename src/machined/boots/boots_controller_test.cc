#include "machined/boots/boots_controller.h"

#include <unistd.h>

#include <filesystem>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "machined/boots/boot_logs.h"
#include "machined/fake_init.h"
#include "machined/log_segments.h"
#include "machined/runtime.h"
#include "machined/storage_layout.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {
namespace {

using init_protocol::EndAction;
using resource::v1::Boot;
using testing::ElementsAre;
using testing::HasSubstr;

class BootsControllerTest : public testing::Test, public InitListener {
 protected:
  BootsControllerTest() : folder_(::mkdtemp(name_)) {}
  ~BootsControllerTest() override { std::filesystem::remove_all(folder_); }

  // A machined of that boot; with the state partition where it is told so.
  void Start(const std::string& boot_id, bool with_state = true) {
    runtime_.reset();
    client_.reset();
    loop_ = *OwnerLoop::Create();
    store_ = std::make_unique<Store>();
    runtime_ = std::make_unique<Runtime>(*loop_, *store_, events_);
    client_ = std::make_unique<InitClient>(*loop_, init_.Connect(*loop_), *this);
    auto boots = std::make_unique<BootsController>(*client_, BootsController::Options{.boot_id = boot_id,
                                                                                      .version = "0.1.0",
                                                                                      .slot = "a",
                                                                                      .file = folder_ + "/boots",
                                                                                      .pstore = "/nonexistent/pstore",
                                                                                      .logs = folder_ + "/log",
                                                                                      .boot_logs = folder_ + "/kept"});
    boots_ = boots.get();
    std::vector<std::unique_ptr<Controller>> all;
    all.push_back(std::move(boots));
    runtime_->StartControllers(std::move(all));
    EXPECT_TRUE(client_->Start().ok());
    if (!with_state) return;
    resource::v1::Volume state;
    state.set_ready(true);
    EXPECT_TRUE(store_->Put("test", kStateLabel, state).ok());
    RunUntil([&] {
      absl::StatusOr<BootHistory> history = BootHistory::Load(folder_ + "/boots");
      return history.ok() && !history->boots().empty() && history->boots().rbegin()->second.boot_id() == boot_id;
    });
  }
  void RunUntil(const std::function<bool()>& done) {
    bool late = false;
    loop_->After(absl::Seconds(10), [&late] { late = true; });
    while (!done() && !late) {
      bool turn = false;
      loop_->After(absl::Milliseconds(5), [&turn] { turn = true; });
      while (!turn) ASSERT_TRUE(loop_->events().RunOnce(-1).ok());
    }
    EXPECT_TRUE(done());
  }
  absl::Status End(EndAction action, bool force = false) {
    std::optional<absl::Status> answer;
    boots_->EndMachine(action, force, "asked by a test", [&](const absl::Status& status) { answer = status; });
    RunUntil([&] { return answer.has_value(); });
    return *answer;
  }
  // How each boot ended, as the file has it.
  std::vector<std::string> Ends() {
    std::vector<std::string> ends;
    absl::StatusOr<BootHistory> history = BootHistory::Load(folder_ + "/boots");
    for (const auto& [number, boot] : history->boots())
      ends.push_back(absl::StrCat(EndText(boot.end()), boot.reason().empty() ? "" : ": ", boot.reason()));
    return ends;
  }

  void OnServiceState(const init_protocol::ServiceState&, UniqueFd) override {}
  void OnPhase(const init_protocol::Phase&) override {}
  void OnListed() override {}
  void OnLost(const absl::Status& why) override { ADD_FAILURE() << why; }

  char name_[32] = "/tmp/stele-boots-XXXXXX";
  std::string folder_;
  EventLog events_{"/nonexistent/events"};
  FakeInit init_;
  std::unique_ptr<OwnerLoop> loop_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<InitClient> client_;
  BootsController* boots_ = nullptr;
};

TEST_F(BootsControllerTest, TheReasonIsOnTheDiskBeforeInitIsTold) {
  Start("boot-1");
  EXPECT_THAT(Ends(), ElementsAre("running"));
  EXPECT_TRUE(End(EndAction::kReboot).ok());
  EXPECT_THAT(init_.requests, ElementsAre("end 0"));
  EXPECT_THAT(Ends(), ElementsAre("reboot: asked by a test"));
  Start("boot-2");
  EXPECT_TRUE(End(EndAction::kKexec).ok());
  EXPECT_THAT(Ends(), ElementsAre("reboot: asked by a test", "reboot by kexec: asked by a test"));
  Start("boot-3");
  EXPECT_TRUE(End(EndAction::kPowerOff, /*force=*/true).ok());
  EXPECT_THAT(init_.requests, ElementsAre("end 0", "end 3", "end forced 1"));
}

TEST_F(BootsControllerTest, ABootThatInitDoesNotEndGoesOn) {
  Start("boot-1");
  init_.refuse_end = true;
  EXPECT_FALSE(End(EndAction::kReboot).ok());
  RunUntil([this] { return Ends() == std::vector<std::string>{"running"}; });
}

TEST_F(BootsControllerTest, AMachinedThatWasKilledAddsNothing) {
  Start("boot-1");
  Start("boot-1");
  EXPECT_THAT(Ends(), ElementsAre("running"));
  Start("boot-2");
  EXPECT_THAT(Ends()[0], HasSubstr("power loss"));
}

TEST_F(BootsControllerTest, WithoutTheStatePartitionItEndsAllTheSame) {
  Start("boot-1", /*with_state=*/false);
  EXPECT_TRUE(End(EndAction::kReboot).ok());
  EXPECT_THAT(init_.requests, ElementsAre("end 0"));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/boots"));
}

TEST_F(BootsControllerTest, TheLogsEndsAreKeptForTheBootBehind) {
  std::string text;
  std::vector<LogTime> times;
  for (int i = 0; i < 40'000; ++i) {
    times.push_back({text.size(), absl::ToUnixNanos(absl::FromUnixSeconds(1000 + i))});
    absl::StrAppend(&text, "line ", i, "\n");
  }
  ASSERT_TRUE(WriteLog(folder_ + "/log/kubelet", text, times, 1 << 20).ok());
  Start("boot-1");
  EXPECT_TRUE(End(EndAction::kReboot).ok());
  std::string kept = folder_ + "/kept";
  RunUntil([&] { return std::filesystem::exists(kept + "/boot-1/kubelet"); });
  absl::StatusOr<std::unique_ptr<LogSource>> log = OpenBootLog(kept, "boot-1", "kubelet", {.tail_lines = 2});
  ASSERT_TRUE(log.ok()) << log.status();
  absl::StatusOr<LogChunk> chunk = (*log)->Next();
  ASSERT_TRUE(chunk.ok()) << chunk.status();
  EXPECT_EQ(chunk->data.view(), "line 39998\nline 39999\n");
  EXPECT_EQ(chunk->marks[0].time, absl::FromUnixSeconds(1000 + 39'998));
  log = OpenBootLog(kept, "boot-1", "kubelet", {});
  uint64_t bytes = 0;
  while (true) {
    chunk = (*log)->Next();
    if (!chunk.ok() || chunk->data.size() == 0) break;
    if (bytes == 0) {
      EXPECT_EQ(chunk->data.view().substr(0, 5), "line ");
    }
    bytes += chunk->data.size();
  }
  EXPECT_LE(bytes, kBootLogBytes);
  EXPECT_GT(bytes, kBootLogBytes - 20);
  EXPECT_EQ(OpenBootLog(kept, "boot-1", "containerd", {}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(OpenBootLog(kept, "boot-1", "../boot-1/kubelet", {}).status().code(), absl::StatusCode::kNotFound);
  Start("boot-2");
  EXPECT_TRUE(std::filesystem::exists(kept + "/boot-1/kubelet"));
  Start("boot-3");  // boot-2 had no time to keep any
  EXPECT_FALSE(std::filesystem::exists(kept + "/boot-1"));
}

TEST(LogOfTextTest, HasATailAndGoesOnAfterItsCursor) {
  auto read = [](const LogStart& from, std::string* cursor = nullptr) {
    absl::StatusOr<std::unique_ptr<LogSource>> log = LogOfText("one\ntwo\nthree", from);
    EXPECT_TRUE(log.ok());
    std::string text;
    for (;;) {
      absl::StatusOr<LogChunk> chunk = (*log)->Next();
      EXPECT_TRUE(chunk.ok());
      text += std::string(chunk->data.view());
      if (chunk->data.size() > 0 && cursor != nullptr) *cursor = chunk->cursor;
      if (chunk->data.size() == 0 && !chunk->more) return text;
    }
  };
  std::string cursor;
  EXPECT_EQ(read({}, &cursor), "one\ntwo\nthree\n");
  EXPECT_EQ(read({.cursor = cursor}), "") << "a client that lost its connection has it all";
  EXPECT_EQ(read({.tail_lines = 2}, &cursor), "two\nthree\n");
  EXPECT_EQ(read({.cursor = cursor, .tail_lines = 2}), "");
}

TEST_F(BootsControllerTest, AFileThatIsNoHistoryIsBegunAnew) {
  ASSERT_TRUE(ReplaceFile(folder_ + "/boots", "\xff\xff\xff").ok());
  Start("boot-1");
  EXPECT_THAT(Ends(), ElementsAre("running"));
}

}  // namespace
}  // namespace stele::machined
