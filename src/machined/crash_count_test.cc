#include "machined/crash_count.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "gtest/gtest.h"

namespace stele::machined {
namespace {

// How a process that counts ends by `signal`.
int EndBy(const std::string& path, int signal) {
  pid_t child = ::fork();
  if (child == 0) {
    rlimit no_core = {0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    if (!BeginCrashCount(path).ok()) ::_exit(1);
    if (signal == SIGABRT) std::abort();
    ::raise(signal);
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST(CrashCount, CountsCrashesAndNoKills) {
  char folder[] = "/tmp/stele-crashes-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  std::string path = std::string(folder) + "/crashes";
  for (int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGTERM})
    EXPECT_EQ(EndBy(path, signal), signal);
  pid_t child = ::fork();
  if (child == 0) ::_exit(static_cast<int>(BeginCrashCount(path).value_or(99)));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 5);
  EXPECT_FALSE(BeginCrashCount("/nonexistent/crashes").ok());
  ASSERT_EQ(std::system((std::string("rm -r ") + folder).c_str()), 0);
}

}  // namespace
}  // namespace stele::machined
