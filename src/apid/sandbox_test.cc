#include "apid/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>

namespace stele {
namespace {

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // with which there is no sandbox

class SandboxTest : public testing::Test {
 protected:
  SandboxTest() {
    char name[] = "/tmp/stele-sandbox-XXXXXX";
    folder_ = ::mkdtemp(name);
    std::ofstream(folder_ + "/key") << "key";
  }
  ~SandboxTest() override {
    ::unlink((folder_ + "/key").c_str());
    ::rmdir(folder_.c_str());
  }

  // How a child ends that opens `path` so from within: its exit status is errno, 0 where it succeeded.
  int Open(const std::string& path, int flags) {
    pid_t child = ::fork();
    if (child == 0) {
      if (!EnterSandbox(folder_).ok()) ::_exit(200);
      ::_exit(::open(path.c_str(), flags, 0600) >= 0 ? 0 : errno);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }

  std::string folder_;
};

TEST_F(SandboxTest, KeysCanBeReadAndNothingElse) {
  EXPECT_EQ(Open(folder_ + "/key", O_RDONLY | O_CLOEXEC), 0);
  int other = Open("/etc/passwd", O_RDONLY | O_CLOEXEC);
  if (other == 0) GTEST_SKIP() << "this kernel has no Landlock: what may be read cannot be bounded here";
  EXPECT_EQ(other, EACCES);
}

TEST_F(SandboxTest, NothingCanBeWritten) {
  for (int flags : {O_WRONLY, O_RDWR, O_WRONLY | O_CREAT, O_RDONLY | O_TRUNC}) {
    EXPECT_EQ(Open(folder_ + "/key", flags | O_CLOEXEC), -SIGSYS) << flags;
  }
}

#endif

}  // namespace
}  // namespace stele
