#include "init/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace stele::init {
namespace {

// Reads a small control file into `buffer`, NUL-terminated; its length or -errno.
ssize_t ReadSmall(int group, const char* file, char* buffer, size_t size) {
  UniqueFd fd(::openat(group, file, O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return -errno;
  ssize_t got = ::read(fd.get(), buffer, size - 1);
  if (got < 0) return -errno;
  buffer[got] = '\0';
  return got;
}

// Hands every controller `group` has to its children. One that cannot be (because a process sits
// in the group, or a v1 hierarchy holds it) does not keep back the others.
void Delegate(int group) {
  char controllers[512];
  if (ReadSmall(group, "cgroup.controllers", controllers, sizeof controllers) <= 0) return;
  char* rest = controllers;
  for (char* word; (word = strtok_r(rest, " \n", &rest)) != nullptr;) {
    char change[64];
    int size = snprintf(change, sizeof change, "+%s", word);
    if (size < static_cast<int>(sizeof change)) WriteCgroupSetting(group, "cgroup.subtree_control", change, size);
  }
}

}  // namespace

int WriteCgroupSetting(int group, const char* file, const char* value, size_t size) {
  UniqueFd fd(::openat(group, file, O_WRONLY | O_CLOEXEC));
  if (!fd.ok()) return errno;
  return ::write(fd.get(), value, size) < 0 ? errno : 0;
}

absl::StatusOr<CgroupTree> CgroupTree::Open(const std::string& path) {
  CgroupTree tree;
  tree.root_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!tree.ok()) return ErrnoStatus("open ", path);
  // Init leaves the root: a group with processes in it cannot hand controllers to its children.
  UniqueFd own;
  if (int error = tree.Make("init", own); error != 0) return StatusFromErrno(error, path + "/init: make the cgroup");
  if (int error = WriteCgroupSetting(own.get(), "cgroup.procs", "0", 1); error != 0) {
    return StatusFromErrno(error, path + "/init: enter the cgroup");
  }
  Delegate(tree.root_.get());
  char controllers[512];
  if (ReadSmall(tree.root_.get(), "cgroup.controllers", controllers, sizeof controllers) > 0) {
    tree.controllers_ = controllers;
    while (!tree.controllers_.empty() && tree.controllers_.back() == '\n') tree.controllers_.pop_back();
  }
  return tree;
}

int CgroupTree::Make(const char* path, UniqueFd& group) const {
  if (!ok()) return ENODEV;
  char copy[300];
  if (strlen(path) >= sizeof copy) return ENAMETOOLONG;
  strcpy(copy, path);
  UniqueFd at(::fcntl(root_.get(), F_DUPFD_CLOEXEC, 0));
  char* rest = copy;
  bool first = true;
  for (char* part; (part = strtok_r(rest, "/", &rest)) != nullptr; first = false) {
    if (!first) Delegate(at.get());  // the root was done by Open
    if (::mkdirat(at.get(), part, 0755) != 0 && errno != EEXIST) return errno;
    UniqueFd next(::openat(at.get(), part, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!next.ok()) return errno;
    at = std::move(next);
  }
  if (!at.ok()) return EMFILE;
  group = std::move(at);
  return 0;
}

int CgroupTree::Remove(const char* path) const {
  return ::unlinkat(root_.get(), path, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
}

int KillCgroup(int group, bool& killed) {
  char events[256];
  killed = ReadSmall(group, "cgroup.events", events, sizeof events) <= 0 || strstr(events, "populated 0") == nullptr;
  if (!killed) return 0;
  int error = WriteCgroupSetting(group, "cgroup.kill", "1", 1);
  if (error != ENOENT) return error;
  // Before Linux 5.14: process by process, until none is left or they fork faster than we kill.
  for (int round = 0; round < 16; ++round) {
    char pids[4096];
    ssize_t size = ReadSmall(group, "cgroup.procs", pids, sizeof pids);
    if (size < 0) return static_cast<int>(-size);
    if (size == 0) return 0;
    for (char* at = pids; *at != '\0';) {
      char* end;
      long pid = strtol(at, &end, 10);
      if (*end != '\n') break;  // cut by the buffer: next round
      if (pid > 1) ::kill(static_cast<pid_t>(pid), SIGKILL);
      at = end + 1;
    }
  }
  return 0;
}

}  // namespace stele::init
