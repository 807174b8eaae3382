// The whole terminal, for `osctl top` and `osctl dashboard`: its other screen, keys one by one, its size. Plain ANSI
// sequences: docs/decisions/full-screen.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/status.h"
#include "osctl/console.h"
#include "osctl/context.h"
#include "osctl/screen/frame.h"
#include "osctl/screen/keys.h"

namespace stele::osctl {

// kNo where NO_COLOR is set to something (https://no-color.org).
Colours ColoursOf(const Getenv& getenv);

// A usage error where input or output is no terminal, or one without a cursor ($TERM is dumb).
absl::Status CheckTerminal(const Console& console, const Getenv& getenv);

// While it lives the terminal shows our picture and passes each key. What was there before comes back when it ends,
// also when the program ends by a signal, a crash included (only SIGKILL leaves it). One at a time; one thread.
class FullScreen {
 public:
  // As CheckTerminal.
  static absl::StatusOr<std::unique_ptr<FullScreen>> Create(const Console& console, const Getenv& getenv);
  ~FullScreen();
  FullScreen(const FullScreen&) = delete;
  FullScreen& operator=(const FullScreen&) = delete;

  // An empty picture of the terminal's present size.
  Frame Blank() const;
  // Sends the rows that are others than before.
  void Show(const Frame& frame);
  // The next key; kResized when there is another size; kNone at `until`.
  KeyPress Read(absl::Time until);

 private:
  FullScreen(const Console& console, Colours colours) : in_(console.in()), out_(console.out()), colours_(colours) {}
  void Enter();

  int in_, out_;
  Colours colours_;
  std::vector<std::string> shown_;
  std::string waiting_;  // bytes that are no key yet
};

}  // namespace stele::osctl
