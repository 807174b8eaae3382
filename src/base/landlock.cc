#include "base/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/unique_fd.h"

namespace stele {
namespace {

constexpr __u64 kAllOfVersion1 = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

int AllowRead(int ruleset, const char* path) {
  UniqueFd parent(::open(path, O_PATH | O_CLOEXEC));
  if (!parent.ok()) return errno == ENOENT ? 0 : errno;
  struct stat what;
  if (::fstat(parent.get(), &what) != 0) return errno;
  landlock_path_beneath_attr rule = {};
  rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
  if (S_ISDIR(what.st_mode)) rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE;
  rule.parent_fd = parent.get();
  return ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0 ? 0 : errno;
}

}  // namespace

int EnterLandlock(std::initializer_list<const char*> readable) {
  if (::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1) return 0;
  landlock_ruleset_attr rules = {};
  rules.handled_access_fs = kAllOfVersion1;
  UniqueFd ruleset(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0)));
  if (!ruleset.ok()) return errno;
  for (const char* path : readable) {
    if (int error = path == nullptr ? 0 : AllowRead(ruleset.get(), path); error != 0) return error;
  }
  return ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0 ? 0 : errno;
}

}  // namespace stele
