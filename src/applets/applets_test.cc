#include "applets/applets.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "applets/dhcp_report.h"
#include "applets/mount_options.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace stele::applets {
namespace {

TEST(MountOptions, SortsFlagsFromData) {
  MountOptions options;
  options.Add("rw,noexec,size=64k,bind,mode=0700,rshared,,context=\"a,b\"");
  EXPECT_EQ(options.flags, static_cast<unsigned long>(MS_NOEXEC | MS_BIND));
  EXPECT_EQ(options.propagation, static_cast<unsigned long>(MS_SHARED | MS_REC));
  EXPECT_EQ(options.data, "size=64k,mode=0700,context=\"a,b\"");
  options.Add("ro,exec");
  EXPECT_EQ(options.flags, static_cast<unsigned long>(MS_RDONLY | MS_BIND));
}

TEST(DhcpReport, TellsTheLeaseWithinItsBound) {
  std::string huge = "new_huge=" + std::string(5000, 'x');
  const char* environment[] = {
      "PATH=/bin",    "new_ip_address=10.0.2.15", "interface=eth0", "new_bad=a\nreason=evil", huge.c_str(),
      "reason=BOUND", "old_ip_address=1.1.1.1",   nullptr};
  EXPECT_EQ(DhcpReport(environment), "reason=BOUND\ninterface=eth0\nnew_ip_address=10.0.2.15\n");
}

// Runs `body` in a child with a mount namespace (and a user namespace unless we are root); its exit
// status, or -1 where namespaces cannot be made.
int InMountNamespace(const std::function<int()>& body) {
  pid_t child = ::fork();
  if (child == 0) {
    uid_t uid = ::getuid();
    if (::unshare(CLONE_NEWNS | (uid != 0 ? CLONE_NEWUSER : 0)) != 0) ::_exit(255);
    if (uid != 0) {
      WriteControlFile("/proc/self/setgroups", "deny").IgnoreError();
      WriteControlFile("/proc/self/uid_map", absl::StrCat("0 ", uid, " 1")).IgnoreError();
    }
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(255);
    if (::mount("tmpfs", "/mnt", "tmpfs", 0, nullptr) != 0) ::_exit(255);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) != 255 ? WEXITSTATUS(status) : -1;
}

int Call(int (*applet)(int, char**), std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return applet(static_cast<int>(words.size()), argv.data());
}

#define EXPECT_IN_CHILD(condition) \
  if (!(condition)) {              \
    perror(#condition);            \
    return __LINE__ % 200 + 1;     \
  }

// The kubelet's own calls, in its order.
TEST(Mount, DoesWhatTheKubeletAsksFor) {
  int answer = InMountNamespace([] {
    struct statvfs info;
    EXPECT_IN_CHILD(::mkdir("/mnt/a", 0755) == 0 && ::mkdir("/mnt/b", 0755) == 0);
    EXPECT_IN_CHILD(Call(MountMain, {"mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", "/mnt/a"}) == 0);
    EXPECT_IN_CHILD(::statvfs("/mnt/a", &info) == 0 && info.f_blocks * info.f_frsize == 64 * 1024);
    EXPECT_IN_CHILD(Call(MountMain, {"mount", "--no-canonicalize", "-o", "bind", "/mnt/a", "/mnt/b"}) == 0);
    EXPECT_IN_CHILD(ReplaceFile("/mnt/b/file", "x").ok() && ::access("/mnt/a/file", F_OK) == 0);
    EXPECT_IN_CHILD(Call(MountMain, {"mount", "-o", "nosuid,bind,remount", "/mnt/a", "/mnt/b"}) == 0);
    EXPECT_IN_CHILD(Call(MountMain, {"mount", "-o", "bind,remount,ro", "/mnt/a", "/mnt/b"}) == 0);
    EXPECT_IN_CHILD(::statvfs("/mnt/b", &info) == 0 && (info.f_flag & ST_RDONLY) && (info.f_flag & ST_NOSUID));
    EXPECT_IN_CHILD(::statvfs("/mnt/a", &info) == 0 && !(info.f_flag & ST_RDONLY));
    EXPECT_IN_CHILD(Call(MountMain, {"mount", "--make-rshared", "/mnt/b"}) == 0);
    EXPECT_IN_CHILD(Call(UmountMain, {"umount", "/mnt/b"}) == 0);
    EXPECT_IN_CHILD(Call(MountMain, {"mount", "--bind", "-o", "ro", "/mnt/a", "/mnt/b"}) == 0);
    EXPECT_IN_CHILD(::statvfs("/mnt/b", &info) == 0 && (info.f_flag & ST_RDONLY));
    EXPECT_IN_CHILD(Call(UmountMain, {"umount", "/mnt/b"}) == 0);
    EXPECT_IN_CHILD(Call(UmountMain, {"umount", "/mnt/b"}) == 32);
    EXPECT_IN_CHILD(Call(UmountMain, {"umount", "-l", "/mnt/a"}) == 0);
    return 0;
  });
  if (answer < 0) GTEST_SKIP() << "no mount namespace: CAP_SYS_ADMIN or user namespaces are missing";
  EXPECT_EQ(answer, 0) << "line " << answer - 1 << " (modulo 200)";
}

TEST(Mount, SaysWhatIsWrongAndAnswersAsMountDoes) {
  char directory[] = "/tmp/stele-mount-XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(Call(UmountMain, {"umount", "/no-such-place"}), 32);
  EXPECT_EQ(Call(UmountMain, {"umount", directory}), 32);
  EXPECT_EQ(Call(MountMain, {"mount", "-t", "nosuchfs", "none", "/no-such-place"}), 32);
  EXPECT_EQ(Call(MountMain, {"mount", "/dev/null"}), 1);
  EXPECT_EQ(Call(MountMain, {"mount", "/dev/null", directory}), 1) << "no type";
  std::string words = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(words.find("umount: /no-such-place: no mount point specified."), std::string::npos) << words;
  if (::geteuid() == 0) {
    EXPECT_NE(words.find(": not mounted."), std::string::npos) << words;
  }
  ::rmdir(directory);
}

}  // namespace
}  // namespace stele::applets
