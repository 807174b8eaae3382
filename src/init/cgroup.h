// The cgroup2 tree, and one service's place in it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace stele::init {

// Where cgroup2 is mounted, if anywhere. Nothing here allocates but Open.
class CgroupTree {
 public:
  // Opens the cgroup2 mount at `path`, moves init into /init and delegates every controller there is.
  static absl::StatusOr<CgroupTree> Open(const std::string& path);
  CgroupTree() = default;  // of a machine without cgroup2

  bool ok() const { return root_.ok(); }
  const std::string& controllers() const { return controllers_; }  // as in cgroup.controllers

  // Makes `path` below the root with its parents, delegating controllers down to it; 0 or errno.
  int Make(const char* path, UniqueFd& group) const;
  // Removes an empty group; 0 or errno.
  int Remove(const char* path) const;

 private:
  UniqueFd root_;
  std::string controllers_;
};

// Writes a group's setting; 0 or errno. ENOENT means that the controller is missing.
int WriteCgroupSetting(int group, const char* file, const char* value, size_t size);

// Kills all processes in and below `group` with SIGKILL, at once where the kernel has cgroup.kill;
// 0 or errno. `killed`: there were any. Then CLONE_INTO_CGROUP must not be used with this group
// again: since Linux 6.12.14 the kernel counts kills of a group, compares the parent's group's
// count with the child's, and takes a new child for one that escaped the kill.
int KillCgroup(int group, bool& killed);

}  // namespace stele::init
