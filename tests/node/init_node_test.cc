// The real init as PID 1 of fresh namespaces, with a scripted machined (init_peer) beside it.
//
// Runs as root or, with unprivileged user namespaces, as anybody. STELE_TEST_SIZE=N makes the
// counted scenarios (orphans, start-stop) of size N; without it they have their full size.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/file.h"
#include "gtest/gtest.h"

namespace stele::node_test {
namespace {

// Paths of what is tested, from CMake.
constexpr char kInit[] = STELE_INIT;
constexpr char kPeer[] = STELE_PEER;
constexpr char kApplets[] = STELE_APPLETS;

int64_t NowMs() {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
}

// A node of init and peer alone, in a directory of its own.
class Node {
 public:
  explicit Node(const std::string& scenario) {
    char name[] = "/tmp/stele-node-XXXXXX";
    if (::mkdtemp(name) == nullptr) return;
    directory_ = name;
    ::chmod(name, 0755);
    root_ = directory_ + "/root";
    for (const char* part : {"usr/lib/stele", "proc", "sys", "dev", "run", "tmp", "etc", "hidden"}) {
      MakeDirectories(absl::StrCat(root_, "/", part)).IgnoreError();
    }
    Copy(kInit, "init");
    Copy(kPeer, "machined");
    Copy(kApplets, "applets");
    ReplaceFile(root_ + "/scenario", scenario).IgnoreError();
    ReplaceFile(root_ + "/result", "", 0666).IgnoreError();
    if (const char* size = getenv("STELE_TEST_SIZE")) ReplaceFile(root_ + "/size", size).IgnoreError();
  }
  ~Node() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    if (!cgroup_.empty()) RemoveCgroup(cgroup_);
    if (!directory_.empty()) (void)!std::system(("rm -rf " + directory_).c_str());
  }

  // False where namespaces cannot be had.
  bool Start() {
    MakeCgroup();
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) return false;
    uid_t uid = ::geteuid();
    gid_t gid = ::getegid();
    pid_t outer = ::fork();
    if (outer == 0) Enter(uid, gid, ready[1]);
    ::close(ready[1]);
    int init = 0;
    bool got = ::read(ready[0], &init, sizeof init) == sizeof init;
    ::close(ready[0]);
    int status = 0;
    ::waitpid(outer, &status, 0);
    pid_ = got ? init : -1;
    return got && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  // The wait status of init, or -1 when it has not ended in time.
  int Wait(int timeout_ms) {
    int64_t until = NowMs() + timeout_ms;
    int status = 0;
    while (::waitpid(pid_, &status, WNOHANG) != pid_) {
      if (NowMs() > until) return -1;
      ::usleep(2000);
    }
    pid_ = -1;
    return status;
  }
  bool WaitForResult(const std::string& word, int timeout_ms) {
    int64_t until = NowMs() + timeout_ms;
    while (Result().find(word) == std::string::npos) {
      if (NowMs() > until) return false;
      ::usleep(5000);
    }
    return true;
  }

  pid_t pid() const { return pid_; }
  std::string Result() const { return ReadFile(root_ + "/result").value_or(""); }
  std::string Log() const { return ReadFile(directory_ + "/log").value_or(""); }

 private:
  void Copy(const char* from, const char* name) {
    std::string to = absl::StrCat(root_, "/usr/lib/stele/", name);
    // A link where it can be: the peer is large and there is a node for every scenario.
    if (::link(from, to.c_str()) != 0) {
      EXPECT_EQ(std::system(absl::StrCat("cp ", from, " ", to).c_str()), 0);
    }
  }

  // A cgroup for the node, if this machine lets us; its namespace then begins there.
  void MakeCgroup() {
    for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
      struct statfs info;
      if (::statfs(path, &info) != 0 || info.f_type != 0x63677270) continue;
      std::string group = absl::StrCat(path, "/stele-test-", ::getpid());
      if (::mkdir(group.c_str(), 0755) == 0 || errno == EEXIST) cgroup_ = group;
      return;
    }
  }
  static void RemoveCgroup(const std::string& path) {
    // Deepest first; they are empty, or become so in a moment.
    std::string command = absl::StrCat("find ", path, " -depth -type d -exec rmdir {} + 2>/dev/null");
    for (int i = 0; i < 50 && ::access(path.c_str(), F_OK) == 0; ++i) {
      (void)!std::system(command.c_str());
      ::usleep(10'000);
    }
  }

  [[noreturn]] void Enter(uid_t uid, gid_t gid, int ready) {
    if (!cgroup_.empty()) WriteControlFile(cgroup_ + "/cgroup.procs", "0").IgnoreError();
    int flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP;
    if (uid != 0) flags |= CLONE_NEWUSER;
    if (::unshare(flags) != 0) ::_exit(1);
    if (uid != 0) {
      WriteControlFile("/proc/self/setgroups", "deny").IgnoreError();
      WriteControlFile("/proc/self/uid_map", absl::StrCat("0 ", uid, " 1")).IgnoreError();
      WriteControlFile("/proc/self/gid_map", absl::StrCat("0 ", gid, " 1")).IgnoreError();
    }
    // CLONE_PARENT: init is the test's child and not of this process, which leaves.
    long init = ::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (init == 0) Become();
    int pid = static_cast<int>(init);
    (void)!::write(ready, &pid, sizeof pid);
    ::_exit(init > 0 ? 0 : 1);
  }

  [[noreturn]] void Become() {
    auto check = [](int result) {
      if (result < 0) ::_exit(120);
    };
    check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
    check(::mount(root_.c_str(), root_.c_str(), nullptr, MS_BIND, nullptr));
    // Devices cannot be made in a user namespace, so they are lent.
    check(::mount("tmpfs", (root_ + "/dev").c_str(), "tmpfs", 0, "mode=0755"));
    for (const char* device : {"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"}) {
      std::string target = root_ + device;
      ::close(::open(target.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
      check(::mount(device, target.c_str(), nullptr, MS_BIND, nullptr));
    }
    // While the old ones are still to be seen: a user namespace may only copy what it sees whole.
    check(::mount("proc", (root_ + "/proc").c_str(), "proc", 0, nullptr));
    if (::mount("sysfs", (root_ + "/sys").c_str(), "sysfs", 0, nullptr) != 0) perror("sysfs");
    int log = ::open((directory_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    ::dup2(log, 1);
    ::dup2(log, 2);
    check(::chdir(root_.c_str()));
    check(static_cast<int>(::syscall(SYS_pivot_root, ".", ".")));
    check(::umount2(".", MNT_DETACH));
    check(::chdir("/"));
    ::execl("/usr/lib/stele/init", "init", nullptr);
    ::_exit(121);
  }

  std::string directory_, root_, cgroup_;
  pid_t pid_ = -1;
};

#define START_OR_SKIP(node) \
  if (!(node).Start()) GTEST_SKIP() << "no namespaces: CAP_SYS_ADMIN or unprivileged user namespaces are missing"

// A namespace whose PID 1 called reboot(2) ends as if by SIGHUP, power-off and halt as if by SIGINT.
bool Rebooted(int status) { return status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP; }
bool PoweredOff(int status) { return status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGINT; }

// Scenarios that say in /result what they found.
class InitScenario : public ::testing::TestWithParam<const char*> {};

TEST_P(InitScenario, Holds) {
  Node node(GetParam());
  START_OR_SKIP(node);
  int status = node.Wait(280'000);
  std::string result = node.Result();
  EXPECT_TRUE(Rebooted(status)) << "init ended with wait status " << status;
  EXPECT_EQ(result.find("FAIL"), std::string::npos) << result << "\n" << node.Log();
  EXPECT_NE(result.find("end\n"), std::string::npos) << result << "\n" << node.Log();
  if (::testing::UnitTest::GetInstance()->current_test_info()->result()->Passed()) printf("%s", result.c_str());
}

INSTANTIATE_TEST_SUITE_P(All, InitScenario,
                         ::testing::Values("exit-codes", "orphans", "ignores-term", "crash-loop", "start-stop",
                                           "define-remove", "listening-socket", "machined-killed", "flood",
                                           "spawn-failures", "credentials", "sandbox", "random-packets"),
                         [](const auto& scenario) {
                           std::string name = scenario.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(InitEnd, RebootsInTimeWithStubbornServicesAndABusyMount) {
  Node node("reboot");
  START_OR_SKIP(node);
  ASSERT_TRUE(node.WaitForResult("end", 30'000)) << node.Log();
  int64_t begin = NowMs();
  int status = node.Wait(40'000);
  EXPECT_TRUE(Rebooted(status)) << status;
  EXPECT_LT(NowMs() - begin, 30'000);
  EXPECT_GT(NowMs() - begin, 2'000) << "the stubborn ones have their time";
  EXPECT_EQ(node.Result().find("FAIL"), std::string::npos) << node.Result();
  EXPECT_NE(node.Log().find("unmount: "), std::string::npos) << node.Log();
  EXPECT_EQ(node.Log().find("detach"), std::string::npos) << node.Log();
  printf("%s", node.Log().c_str());
}

TEST(InitEnd, PowersOff) {
  Node node("power-off");
  START_OR_SKIP(node);
  EXPECT_TRUE(PoweredOff(node.Wait(40'000))) << node.Log();
}

TEST(InitEnd, ObeysAForcedRequestWithinFiveSeconds) {
  Node node("forced");
  START_OR_SKIP(node);
  ASSERT_TRUE(node.WaitForResult("end", 30'000)) << node.Log();
  int64_t begin = NowMs();
  EXPECT_TRUE(Rebooted(node.Wait(10'000))) << node.Log();
  EXPECT_LT(NowMs() - begin, 5'000);
  EXPECT_EQ(node.Result().find("FAIL"), std::string::npos) << node.Result();
}

TEST(InitEnd, TakesSignalsForRequests) {
  for (auto [signal, rebooted] : {std::pair(SIGTERM, true), {SIGINT, true}, {SIGPWR, false}}) {
    Node node("wait");
    START_OR_SKIP(node);
    ASSERT_TRUE(node.WaitForResult("waiting", 10'000)) << node.Log();
    ASSERT_EQ(::kill(node.pid(), signal), 0);
    int status = node.Wait(15'000);
    EXPECT_TRUE(rebooted ? Rebooted(status) : PoweredOff(status)) << signal << ": " << status << "\n" << node.Log();
  }
}

class InitCrash : public ::testing::TestWithParam<int> {};

TEST_P(InitCrash, SaysWhyAndReboots) {
  Node node("wait");
  START_OR_SKIP(node);
  ASSERT_TRUE(node.WaitForResult("waiting", 10'000)) << node.Log();
  int64_t begin = NowMs();
  ASSERT_EQ(::kill(node.pid(), GetParam()), 0);
  EXPECT_TRUE(Rebooted(node.Wait(20'000))) << node.Log();
  EXPECT_LT(NowMs() - begin, 10'000);
  EXPECT_NE(node.Log().find("crashed: SIG"), std::string::npos) << node.Log();
  EXPECT_NE(node.Log().find(" rip "), std::string::npos) << node.Log();
}

INSTANTIATE_TEST_SUITE_P(SixSignals, InitCrash, ::testing::Values(SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS));

TEST(InitPhases, AreAllToldAndNoneFails) {
  Node node("wait");
  START_OR_SKIP(node);
  ASSERT_TRUE(node.WaitForResult("waiting", 10'000)) << node.Log();
  // What is skipped says why.
  for (const char* phase : {"sysctls", "devices", "watchdog"}) {
    EXPECT_NE(node.Log().find(absl::StrCat(phase, ": skipped: not the machine's PID 1")), std::string::npos)
        << node.Log();
  }
  // No more memory than promised, once it is quiet.
  ::sleep(3);
  std::string status = ReadFile(absl::StrCat("/proc/", node.pid(), "/status")).value_or("");
  size_t at = status.find("VmRSS:");
  ASSERT_NE(at, std::string::npos);
  int resident = atoi(status.c_str() + at + 6);
  EXPECT_LE(resident, 1024) << "kB";
  printf("resident-kb %d\n", resident);
}

}  // namespace
}  // namespace stele::node_test
