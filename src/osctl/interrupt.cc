#include "osctl/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace stele::osctl {
namespace {

// What the handler may touch.
std::atomic<const char*> message = nullptr;
std::atomic<int> terminal = -1;

void Tell(int) {
  int error = errno;
  const char* text = message;
  // Below the progress line, which stays as it was.
  for (const char* part : {"\n", text, "\n"}) {
    if (::write(terminal, part, strlen(part)) < 0) break;  // nothing to be done in a handler
  }
  errno = error;
}

}  // namespace

Interrupt::Interrupt(const Console& console, const char* text) : active_(console.ErrIsTerminal()) {
  if (!active_) return;
  message = text;
  terminal = console.err();
  struct sigaction action = {};
  action.sa_handler = Tell;
  // RESETHAND: the second one meets the default, which ends the program with the shell's code for it.
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, &before_);
}

Interrupt::~Interrupt() {
  if (active_) ::sigaction(SIGINT, &before_, nullptr);
}

void Interrupt::set_text(const char* text) {
  if (active_) message = text;
}

}  // namespace stele::osctl
