#include "base/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "gtest/gtest.h"

namespace stele {
namespace {

bool CanRead(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

// Its bits say what was wrong, since the process cannot come back.
int InLandlock(const std::string& kept, const std::string& left) {
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (EnterLandlock({kept.c_str(), "/nonexistent", nullptr}) != 0) return 1;
  int wrong = CanRead(kept + "/file") ? 0 : 2;
  if (CanRead(left + "/file")) wrong |= 4;
  if (::open((kept + "/new").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0) wrong |= 8;
  return wrong;
}

TEST(Landlock, LeavesWhatIsNamedForReadingAndNothingElse) {
  if (::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1)
    GTEST_SKIP() << "this kernel has no Landlock";
  std::string kept = testing::TempDir() + "/landlock-kept", left = testing::TempDir() + "/landlock-left";
  for (const std::string& folder : {kept, left}) {
    ASSERT_TRUE(MakeDirectories(folder).ok());
    ASSERT_TRUE(ReplaceFile(folder + "/file", "x").ok());
  }
  pid_t child = ::fork();
  if (child == 0) ::_exit(InLandlock(kept, left));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0)
      << "1: not entered; 2: what is kept is gone; 4: what is left is open; 8: it can write";
}

}  // namespace
}  // namespace stele
