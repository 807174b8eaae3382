#include "osctl/screen/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "osctl/failure.h"

namespace stele::osctl {
namespace {

// The other screen, no cursor, no wrapping; and back.
constexpr char kEnter[] = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
constexpr char kLeave[] = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";
constexpr int kEndings[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
constexpr size_t kEndingCount = sizeof kEndings / sizeof kEndings[0];
// So long a sequence's bytes may take after its escape.
constexpr absl::Duration kEscapePause = absl::Milliseconds(50);

// What handlers may touch: set before they are installed.
struct Restore {
  std::atomic<bool> active = false;
  int in = -1, out = -1;
  termios before = {};
  int wake = -1;
  int woken = -1;
  struct sigaction endings[kEndingCount] = {};
  struct sigaction resized = {};
} restore;

// Safe in a handler.
void GiveBack() {
  if (!restore.active.exchange(false)) return;
  if (::write(restore.out, kLeave, sizeof kLeave - 1) < 0) {
    // There is no terminal left to be given back.
  }
  ::tcsetattr(restore.in, TCSADRAIN, &restore.before);
}

void End(int signal) {
  GiveBack();
  // As if we had never minded it: the shell gets its own code.
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  ::sigaction(signal, &action, nullptr);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  ::raise(signal);
}

void Resized(int) {
  int error = errno;
  if (::write(restore.wake, "r", 1) < 0) {
    // The pipe is full of wake-ups already.
  }
  errno = error;
}

}  // namespace

Colours ColoursOf(const Getenv& getenv) {
  const char* none = getenv("NO_COLOR");
  return none != nullptr && *none != '\0' ? Colours::kNo : Colours::kYes;
}

absl::Status CheckTerminal(const Console& console, const Getenv& getenv) {
  const char* type = getenv("TERM");
  bool dumb = type != nullptr && absl::string_view(type) == "dumb";
  if (!console.InIsTerminal() || !console.OutIsTerminal() || dumb) {
    return UsageError("this needs a terminal with a cursor",
                      "`osctl top --once` and `osctl get` write to files and pipes");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FullScreen>> FullScreen::Create(const Console& console, const Getenv& getenv) {
  RETURN_IF_ERROR(CheckTerminal(console, getenv));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return ErrnoStatus("make a pipe");
  restore.woken = ends[0];
  restore.wake = ends[1];
  restore.in = console.in();
  restore.out = console.out();
  if (::tcgetattr(restore.in, &restore.before) != 0) return ErrnoStatus("read the terminal's settings");
  std::unique_ptr<FullScreen> screen(new FullScreen(console, ColoursOf(getenv)));
  screen->Enter();
  return screen;
}

void FullScreen::Enter() {
  restore.active = true;
  struct sigaction end = {};
  end.sa_handler = End;
  for (size_t i = 0; i < kEndingCount; ++i) ::sigaction(kEndings[i], &end, &restore.endings[i]);
  struct sigaction resized = {};
  resized.sa_handler = Resized;
  resized.sa_flags = SA_RESTART;
  ::sigaction(SIGWINCH, &resized, &restore.resized);
  termios raw = restore.before;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // Ctrl-C stays a signal
  raw.c_iflag &= ~static_cast<tcflag_t>(IXON);           // a held terminal would hold us, and whoever ends us
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  raw.c_cc[VSUSP] = _POSIX_VDISABLE;  // a stopped program could not give the screen back
  ::tcsetattr(in_, TCSADRAIN, &raw);
  WriteAll(out_, kEnter).IgnoreError();  // a terminal that is gone is met by Read
}

FullScreen::~FullScreen() {
  GiveBack();
  for (size_t i = 0; i < kEndingCount; ++i) ::sigaction(kEndings[i], &restore.endings[i], nullptr);
  ::sigaction(SIGWINCH, &restore.resized, nullptr);
  ::close(restore.wake);
  ::close(restore.woken);
}

Frame FullScreen::Blank() const {
  winsize size = {};
  bool known = ::ioctl(out_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
  return known ? Frame(size.ws_col, size.ws_row) : Frame(80, 24);
}

void FullScreen::Show(const Frame& frame) {
  std::vector<std::string> rows = frame.Rows(colours_);
  std::string out;
  for (size_t i = 0; i < rows.size(); ++i) {
    bool same = shown_.size() == rows.size() && shown_[i] == rows[i];
    if (!same) absl::StrAppend(&out, "\x1b[", i + 1, ";1H", rows[i]);
  }
  shown_ = std::move(rows);
  WriteAll(out_, out).IgnoreError();  // a terminal that is gone is met by Read
}

KeyPress FullScreen::Read(absl::Time until) {
  while (true) {
    size_t taken = 0;
    KeyPress press = DecodeKey(waiting_, false, &taken);
    waiting_.erase(0, taken);
    if (taken != 0) return press;
    // A key of several bytes comes in one piece; what stands alone is the escape key.
    absl::Time patience = waiting_.empty() ? until : std::min(until, absl::Now() + kEscapePause);
    pollfd fds[2] = {{in_, POLLIN, 0}, {restore.woken, POLLIN, 0}};
    absl::Duration left = std::max(absl::ZeroDuration(), patience - absl::Now());
    int ready = ::poll(fds, 2, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    if (ready < 0) continue;  // a signal; if it was to end us it has
    if (ready == 0) {
      press = DecodeKey(waiting_, true, &taken);
      waiting_.erase(0, taken);
      return press;
    }
    if (fds[1].revents != 0) {
      char drained[64];
      while (::read(restore.woken, drained, sizeof drained) > 0) {
      }
      shown_.clear();  // what a terminal makes of its rows then is its own affair
      return {Key::kResized};
    }
    char bytes[64];
    ssize_t got = ::read(in_, bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return {Key::kGone};  // also EIO: it was hung up
    waiting_.append(bytes, static_cast<size_t>(got));
  }
}

}  // namespace stele::osctl
