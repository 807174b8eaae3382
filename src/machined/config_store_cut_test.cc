// Every change of the store, cut off at each of its writes: the old configuration or the new one, never another.
//
// The program is cut like a killed one: at the k-th change of the file system, with half of the bytes where it is a
// write. What a disk's cache does besides is tests/crash's matter.
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "machined/config_ledger.h"

namespace {

int changes_left = -1;  // -1: nothing is cut

// True at the one that is cut.
bool Cut() { return changes_left >= 0 && changes_left-- == 0; }

}  // namespace

// In place of libc's, in this program alone.
extern "C" {
ssize_t write(int fd, const void* data, size_t size) {
  if (!Cut()) return ::syscall(SYS_write, fd, data, size);
  ::syscall(SYS_write, fd, data, size / 2);
  ::_exit(99);
}
int rename(const char* from, const char* to) noexcept {
  if (Cut()) ::_exit(99);
  return static_cast<int>(::syscall(SYS_rename, from, to));
}
int unlink(const char* path) noexcept {
  if (Cut()) ::_exit(99);
  return static_cast<int>(::syscall(SYS_unlink, path));
}
int fsync(int fd) {
  if (Cut()) ::_exit(99);
  return static_cast<int>(::syscall(SYS_fsync, fd));
}
}

namespace stele::machined {
namespace {

using ::testing::AnyOf;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

class ConfigStoreCutTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/stele-cut-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -r " + folder_).c_str()), 0); }

  static Generation Wish(const std::string& yaml) {
    Generation wish = {.source = "api", .applied = kNow, .yaml = yaml, .by = "a test"};
    wish.boot = "boot-1";
    wish.until = absl::Seconds(60);
    return wish;
  }

  // What counts, in the boot of the trial and in another one; what is staged; how many boots were counted. "torn" where
  // anything is not whole.
  std::string View() const {
    std::vector<std::string> torn;
    std::string same = "none", other = "none";
    std::vector<Generation> list = ConfigStore(folder_ + "/store").List(&torn);
    for (auto it = list.rbegin(); it != list.rend(); ++it) {
      if (it->fate != Generation::Fate::kReverted) same = it->yaml;
      if (it->fate == Generation::Fate::kApplied) other = it->yaml;
    }
    std::optional<Generation> staged = ConfigStore(folder_ + "/store").Staged();
    if (!torn.empty()) return "torn: " + torn.front();
    return absl::StrCat(same, other, staged.has_value() ? staged->yaml : "nothing staged\n",
                        ConfigLedger::Load(folder_ + "/store").boots);
  }

  // Runs `change` on a copy of what `prepare` made, cut at its first, second … write.
  void CutEverywhere(const std::function<void(ConfigStore&)>& prepare, const std::function<void(ConfigStore&)>& change,
                     int least) {
    ConfigStore store(folder_ + "/store");
    prepare(store);
    std::string before = View();
    ASSERT_EQ(std::system(absl::StrCat("cp -r ", folder_, "/store ", folder_, "/kept").c_str()), 0);
    std::set<std::string> seen;
    int cuts = 0;
    for (bool cut = true; cut; ++cuts) {
      ASSERT_EQ(std::system(absl::StrCat("cd ", folder_, " && rm -r store && cp -r kept store").c_str()), 0);
      pid_t child = ::fork();
      if (child == 0) {
        changes_left = cuts;
        change(store);
        ::_exit(0);
      }
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 99));
      cut = WEXITSTATUS(status) == 99;
      seen.insert(View());
      if (!cut) {
        std::string after = View();
        EXPECT_NE(before, after);
        for (const std::string& view : seen) EXPECT_THAT(view, AnyOf(before, after));
      } else {
        // What a cut leaves behind is in nobody's way: done again it is whole.
        change(store);
        EXPECT_NE(View(), before) << "after cut " << cuts;
      }
    }
    EXPECT_GE(cuts, least);  // else nothing was cut, and the test shows nothing
  }

  std::string folder_;
};

TEST_F(ConfigStoreCutTest, Save) {
  CutEverywhere([](ConfigStore& store) { ASSERT_TRUE(store.Save("old: 1\n", "api", kNow).ok()); },
                [](ConfigStore& store) { store.Save("new: 1\n", "api", kNow).status().IgnoreError(); }, 5);
}

TEST_F(ConfigStoreCutTest, SaveThatForgetsOldOnes) {
  CutEverywhere(
      [](ConfigStore& store) {
        for (int i = 0; i < 12; ++i) ASSERT_TRUE(store.Save(absl::StrCat("old: ", i, "\n"), "api", kNow).ok());
      },
      [](ConfigStore& store) { store.Save("new: 1\n", "api", kNow).status().IgnoreError(); }, 6);
}

TEST_F(ConfigStoreCutTest, Try) {
  CutEverywhere([](ConfigStore& store) { ASSERT_TRUE(store.Save("old: 1\n", "api", kNow).ok()); },
                [](ConfigStore& store) { store.Try(Wish("new: 1\n")).status().IgnoreError(); }, 5);
}

TEST_F(ConfigStoreCutTest, Confirm) {
  CutEverywhere(
      [](ConfigStore& store) {
        ASSERT_TRUE(store.Save("old: 1\n", "api", kNow).ok());
        ASSERT_TRUE(store.Try(Wish("new: 1\n")).ok());
      },
      [](ConfigStore& store) { store.Confirm(2).status().IgnoreError(); }, 6);
}

TEST_F(ConfigStoreCutTest, Revert) {
  CutEverywhere(
      [](ConfigStore& store) {
        ASSERT_TRUE(store.Save("old: 1\n", "api", kNow).ok());
        ASSERT_TRUE(store.Try(Wish("new: 1\n")).ok());
      },
      [](ConfigStore& store) { store.Revert(2, "was reverted").IgnoreError(); }, 5);
}

TEST_F(ConfigStoreCutTest, Stage) {
  CutEverywhere([](ConfigStore& store) { ASSERT_TRUE(store.Save("old: 1\n", "api", kNow).ok()); },
                [](ConfigStore& store) { store.Stage("new: 1\n", "boot-1", kNow).IgnoreError(); }, 5);
}

TEST_F(ConfigStoreCutTest, Ledger) {
  CutEverywhere([](ConfigStore& store) { ASSERT_TRUE(store.Save("old: 1\n", "api", kNow).ok()); },
                [this](ConfigStore&) {
                  ConfigLedger ledger;
                  ledger.boots = 2;
                  ledger.Save(folder_ + "/store").IgnoreError();
                },
                5);
}

// Two steps, and between them the new one counts already, while it is staged still.
TEST_F(ConfigStoreCutTest, PromotionNeverLosesIt) {
  for (int cuts = 0;; ++cuts) {
    ConfigStore store(absl::StrCat(folder_, "/", cuts));
    ASSERT_TRUE(store.Save("old: 1\n", "api", kNow).ok());
    ASSERT_TRUE(store.Stage("new: 1\n", "boot-1", kNow).ok());
    pid_t child = ::fork();
    if (child == 0) {
      changes_left = cuts;
      store.PromoteStaged("boot-2", kNow).status().IgnoreError();
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(store.PromoteStaged("boot-2", kNow).ok());
    std::vector<std::string> torn;
    EXPECT_EQ(store.List(&torn).front().yaml, "new: 1\n") << cuts;
    EXPECT_TRUE(torn.empty());
    EXPECT_FALSE(store.Staged().has_value());
    if (WEXITSTATUS(status) == 0) {
      EXPECT_GE(cuts, 5);
      return;
    }
  }
}

}  // namespace
}  // namespace stele::machined
