// What a terminal shows of long work, and that nothing else does.
#include "osctl/output/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "osctl/interrupt.h"

namespace stele::osctl {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

// A terminal of 40 columns whose screen we can read.
struct Terminal {
  Terminal() : screen(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)) {
    EXPECT_EQ(::grantpt(screen.get()) | ::unlockpt(screen.get()), 0);
    end.reset(::open(::ptsname(screen.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    winsize size = {24, 40, 0, 0};
    EXPECT_EQ(::ioctl(screen.get(), TIOCSWINSZ, &size), 0);
  }
  // Until nothing more comes for a moment: the kernel brings what was written over by a worker of its own.
  std::string Shown() {
    std::string shown;
    char buffer[4096];
    pollfd wait = {screen.get(), POLLIN, 0};
    for (int patience = 2000; ::poll(&wait, 1, patience) == 1 && (wait.revents & POLLIN) != 0; patience = 100) {
      ssize_t got = ::read(screen.get(), buffer, sizeof buffer);
      if (got > 0) shown.append(buffer, got);
    }
    return shown;
  }
  UniqueFd screen, end;
};

TEST(Meter, Texts) {
  absl::Time begin = absl::UnixEpoch();
  Meter meter(10 << 20, 40 << 20, begin);  // 10 MiB were there
  EXPECT_EQ(meter.Text(begin), "10.0MiB of 40.0MiB, 25%, 0B/s");
  meter.set_done(20 << 20);
  EXPECT_EQ(meter.Text(begin + absl::Seconds(5)), "20.0MiB of 40.0MiB, 50%, 2.0MiB/s, 10s left");
  EXPECT_EQ(meter.Short(begin + absl::Seconds(5)), "50% 2.0MiB/s");
  EXPECT_EQ(meter.Summary(begin + absl::Seconds(5)), "10.0MiB in 5s, 2.0MiB/s");
  Meter unknown(0, 0, begin);
  unknown.set_done(1024);
  EXPECT_EQ(unknown.Text(begin + absl::Seconds(1)), "1.0KiB, 1.0KiB/s");
}

TEST(Progress, OneLineThatOutputAppearsAbove) {
  Terminal terminal;
  UniqueFd out(::memfd_create("out", MFD_CLOEXEC));
  Console console(-1, out.get(), terminal.end.get());
  {
    Progress progress(console);
    progress.Begin("", "sends", 0, 2048);
    EXPECT_EQ(terminal.Shown(), "\rsends 0B of 2.0KiB, 0%, 0B/s\x1b[K");
    console.Err("a line\n");
    EXPECT_EQ(terminal.Shown(), "\r\x1b[Ka line\r\n\rsends 0B of 2.0KiB, 0%, 0B/s\x1b[K");
    progress.Say("", "on trial: \x1b[2J and more text than forty columns hold");
    EXPECT_EQ(terminal.Shown(), "\ron trial:  [2J and more text than forty\x1b[K");
    progress.End("");
  }
  EXPECT_THAT(terminal.Shown(), EndsWith("\r\x1b[K"));
  console.Err("after\n");
  EXPECT_EQ(terminal.Shown(), "after\r\n");
}

TEST(Progress, SeveralNodesShareTheLine) {
  Terminal terminal;
  Console console(-1, -1, terminal.end.get());
  Progress progress(console);
  progress.Begin("a", "writes", 512, 1024);
  progress.Begin("b", "writes", 0, 1024);
  EXPECT_THAT(terminal.Shown(), HasSubstr("\ra: writes 50% 0B/s  |  b: writes 0% 0B/\x1b[K"));
}

TEST(Progress, NothingOffATerminal) {
  UniqueFd err(::memfd_create("err", MFD_CLOEXEC));
  Console console(-1, -1, err.get());
  Progress progress(console);
  progress.Begin("", "sends", 0, 1024);
  progress.Set("", 512);
  progress.Say("", "waits");
  progress.End("");
  EXPECT_EQ(::lseek(err.get(), 0, SEEK_END), 0);
}

// In a child: the second one has to kill it.
TEST(Interrupt, TheFirstTellsTheSecondEnds) {
  Terminal terminal;
  pid_t child = ::fork();
  if (child == 0) {
    Console console(-1, -1, terminal.end.get());
    Interrupt interrupt(console, "not this");
    interrupt.set_text("the node goes on");
    ::raise(SIGINT);
    ::raise(SIGINT);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
  EXPECT_EQ(terminal.Shown(), "\r\nthe node goes on\r\n");
}

TEST(Interrupt, OffATerminalTheFirstEnds) {
  UniqueFd err(::memfd_create("err", MFD_CLOEXEC));
  pid_t child = ::fork();
  if (child == 0) {
    Console console(-1, -1, err.get());
    Interrupt interrupt(console, "nobody reads this");
    ::raise(SIGINT);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(::lseek(err.get(), 0, SEEK_END), 0);
}

}  // namespace
}  // namespace stele::osctl
