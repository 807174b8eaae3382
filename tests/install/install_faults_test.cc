// Faults at every step of an installation and of a reset: the process is killed, or a call fails or hangs until the
// process is killed, at the first, a middle and the last of the step's calls that write. The cases follow from the
// installer's own table of steps and from counting the calls of a run without faults; nothing here knows what a step
// does.
//
// Afterwards a disk has either no table at all or all of Stele, and the same call again completes. A reset that was cut
// is completed by the next boot.
//
// What a disk forgets of unflushed writes is another matter, and not tried here: docs/claims.md.
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <set>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "machined/install/installer_fixture.h"
#include "machined/install/reset.h"

namespace stele::machined {
namespace {

constexpr int kMaxSteps = 16;

enum class Fault { kNone, kKill, kHang, kEio, kEnospc };
constexpr Fault kFaults[] = {Fault::kKill, Fault::kHang, Fault::kEio, Fault::kEnospc};

const char* NameOf(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return "none";
    case Fault::kKill:
      return "killed";
    case Fault::kHang:
      return "hangs";
    case Fault::kEio:
      return "EIO";
    case Fault::kEnospc:
      return "ENOSPC";
  }
  return "";
}

// Which call fails, and how; shared with the children.
struct Shared {
  int step = -1;  // under way; -1: nothing counts
  int calls[kMaxSteps];
  int fault_step = -1, fault_call = 0;
  Fault fault = Fault::kNone;
  std::atomic<bool> hit = false;  // the fault happened
};
Shared* shared = nullptr;

// Called by what stands before libc. True: fail with errno, which is set.
bool Fails() {
  if (shared == nullptr || shared->step < 0) return false;
  int call = shared->calls[shared->step]++;
  if (shared->step != shared->fault_step || call != shared->fault_call) return false;
  shared->hit = true;
  if (shared->fault == Fault::kKill) ::kill(::getpid(), SIGKILL);
  while (shared->fault == Fault::kHang) ::pause();
  errno = shared->fault == Fault::kEio ? EIO : ENOSPC;
  return true;
}

template <typename F>
F* Next(const char* name) {
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace
}  // namespace stele::machined

using stele::machined::Fails;
using stele::machined::Next;

extern "C" {
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  static auto* next = Next<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  return Fails() ? -1 : next(fd, bytes, size, offset);
}
ssize_t write(int fd, const void* bytes, size_t size) {
  static auto* next = Next<ssize_t(int, const void*, size_t)>("write");
  return Fails() ? -1 : next(fd, bytes, size);
}
int fsync(int fd) {
  static auto* next = Next<int(int)>("fsync");
  return Fails() ? -1 : next(fd);
}
int syncfs(int fd) noexcept {
  static auto* next = Next<int(int)>("syncfs");
  return Fails() ? -1 : next(fd);
}
int rename(const char* from, const char* to) noexcept {
  static auto* next = Next<int(const char*, const char*)>("rename");
  return Fails() ? -1 : next(from, to);
}
}

namespace stele::machined {
namespace {

class FaultTest : public StorageTest {
 protected:
  void SetUp() override {
    StorageTest::SetUp();
    if (!MayMountImages()) GTEST_SKIP() << "needs root that may mount, and loop devices";
    shared = new (::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Shared();
  }
  void Arm(int step, int call, Fault fault) {
    shared->step = -1;
    shared->hit = false;
    std::fill(std::begin(shared->calls), std::end(shared->calls), 0);
    shared->fault_step = step;
    shared->fault_call = call;
    shared->fault = fault;
  }
  // Runs it in a child that may die; its wait status.
  int InChild(const std::function<absl::Status()>& run) {
    pid_t child = ::fork();
    if (child == 0) ::_exit(run().ok() ? 0 : 1);
    int status = -1;
    // A call that hangs does so until somebody ends its process.
    while (::waitpid(child, &status, WNOHANG) == 0) {
      if (shared->hit && shared->fault == Fault::kHang) ::kill(child, SIGKILL);
      absl::SleepFor(absl::Milliseconds(1));
    }
    shared->step = -1;
    return status;
  }
  // The calls that fail, of a step with so many.
  static std::set<int> Chosen(int calls) {
    if (calls == 0) return {};
    return {0, calls / 2, calls - 1};
  }
};

class InstallFaults : public FaultTest {
 protected:
  absl::Status Install() {
    std::vector<std::string> steps = Installer::StepNames();
    Installer installer(TestOptions(image_, directory_ + "/work"), TestSource(), [&](const InstallProgress& progress) {
      shared->step = std::find(steps.begin(), steps.end(), progress.step) - steps.begin();
    });
    return installer.Run();
  }
  void FreshDisk() {
    ::unlink(image_.c_str());
    MakeImage(3400 * kMiB);
  }
};

TEST_F(InstallFaults, ThereIsNoTableOrAllOfIt) {
  std::vector<std::string> steps = Installer::StepNames();
  FreshDisk();
  Arm(-1, 0, Fault::kNone);
  ASSERT_EQ(InChild([this] { return Install(); }), 0);
  ASSERT_EQ(WhatIsMissing(image_, directory_ + "/work"), "");
  std::vector<int> calls(std::begin(shared->calls), std::end(shared->calls));
  int cases = 0, complete = 0;
  for (size_t step = 0; step < steps.size(); ++step) {
    for (int call : Chosen(calls[step])) {
      for (Fault fault : kFaults) {
        SCOPED_TRACE(absl::StrCat(steps[step], ", call ", call, " of ", calls[step], ": ", NameOf(fault)));
        ++cases;
        FreshDisk();
        Arm(step, call, fault);
        EXPECT_NE(InChild([this] { return Install(); }), 0);
        EXPECT_TRUE(shared->hit);
        absl::StatusOr<DiskContents> contents = ProbeDisk(image_);
        ASSERT_TRUE(contents.ok()) << contents.status();
        bool has_table = contents->found != "" && contents->found != "data";
        if (has_table) {
          EXPECT_EQ(WhatIsMissing(image_, directory_ + "/work"), "");
          ++complete;
          continue;
        }
        // Without being told to wipe.
        Arm(-1, 0, Fault::kNone);
        EXPECT_EQ(InChild([this] { return Install(); }), 0);
        EXPECT_EQ(WhatIsMissing(image_, directory_ + "/work"), "");
      }
    }
  }
  std::cout << cases << " cases, " << complete << " of them after the commit\n";
  EXPECT_GE(cases, 40);
  EXPECT_GT(complete, 0);
}

class ResetFaults : public FaultTest {
 protected:
  static constexpr int kOnlyStep = 0;
  // An image file stands for the disk: its partitions have no devices.
  void FreshDisk() {
    ::unlink(image_.c_str());
    MakeImage(300 * kMiB);
    ASSERT_TRUE(FormatEmptyDisk(image_, Tools()).ok());
    ASSERT_TRUE(WriteResetWish(image_, {Request(), "a test"}).ok());
    DiskFile disk = *DiskFile::Open(image_);
    DiskContents contents = *ProbeDisk(image_);
    const Partition& data = *FindPartition(contents, kDataLabel);
    LoopMount mount = *LoopMount::Create({image_, data.start, data.size, 512}, "ext4", directory_ + "/data", false);
    ASSERT_TRUE(MakeDirectories(mount.path() + "/lib/etcd").ok());
    ASSERT_TRUE(ReplaceFile(mount.path() + "/lib/etcd/wal", "kept").ok());
    ASSERT_TRUE(ReplaceFile(mount.path() + "/secret", "x").ok());
    ASSERT_TRUE(mount.Close().ok());
  }
  machine::v1::ResetRequest Request() const {
    machine::v1::ResetRequest request;
    request.set_state(true);
    request.set_data(true);
    if (keep_) request.add_keep("lib/etcd");
    return request;
  }
  // What a boot does.
  absl::Status Boot() {
    StorageOptions options = {.root = directory_ + "/root", .tools = Tools()};
    ASSIGN_OR_RETURN(std::optional<ResetWish> wish, ReadResetWish(image_));
    if (!wish.has_value()) return absl::OkStatus();
    shared->step = kOnlyStep;
    return CarryOutReset(image_, *wish, options, [](const std::string&) {});
  }
  std::string Left() {
    DiskContents contents = *ProbeDisk(image_);
    const Partition& data = *FindPartition(contents, kDataLabel);
    if (FindPartition(contents, kStateLabel)->fstype != "ext4" || data.fstype != "ext4") return "no file system";
    absl::StatusOr<LoopMount> mount =
        LoopMount::Create({image_, data.start, data.size, 512}, "ext4", directory_ + "/data", true);
    if (!mount.ok()) return std::string(mount.status().message());
    std::string left;
    if (::access((mount->path() + "/lib/etcd/wal").c_str(), F_OK) == 0) left += "etcd";
    if (::access((mount->path() + "/secret").c_str(), F_OK) == 0) left += " secret";
    return left;
  }
  void Try() {
    FreshDisk();
    Arm(-1, 0, Fault::kNone);
    ASSERT_EQ(InChild([this] { return Boot(); }), 0);
    ASSERT_EQ(Left(), keep_ ? "etcd" : "");
    int calls = shared->calls[kOnlyStep];
    std::set<int> chosen = Chosen(calls);
    for (int at = 1; at < 5; ++at) chosen.insert(calls * at / 5);
    for (int call : chosen) {
      for (Fault fault : kFaults) {
        SCOPED_TRACE(absl::StrCat("call ", call, " of ", calls, ": ", NameOf(fault)));
        FreshDisk();
        Arm(kOnlyStep, call, fault);
        EXPECT_NE(InChild([this] { return Boot(); }), 0);
        EXPECT_TRUE(shared->hit);
        Arm(-1, 0, Fault::kNone);
        EXPECT_EQ(InChild([this] { return Boot(); }), 0);
        EXPECT_FALSE(ReadResetWish(image_)->has_value());
        EXPECT_EQ(Left(), keep_ ? "etcd" : "");
      }
    }
  }
  bool keep_ = false;
};

TEST_F(ResetFaults, IsCarriedThrough) { Try(); }
TEST_F(ResetFaults, IsCarriedThroughWithWhatIsKept) {
  keep_ = true;
  Try();
}

}  // namespace
}  // namespace stele::machined
