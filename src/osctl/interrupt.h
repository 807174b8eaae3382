// Ctrl-C while a node is at work: the first one says what leaving means, the second one leaves.
#pragma once

#include <signal.h>

#include "osctl/console.h"

namespace stele::osctl {

// In force until it is destroyed; one at a time. Off a terminal it changes nothing: there nobody reads.
class Interrupt {
 public:
  // `text` is a line that lives for ever.
  Interrupt(const Console& console, const char* text);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // From any thread.
  void set_text(const char* text);

 private:
  bool active_;
  struct sigaction before_ = {};
};

}  // namespace stele::osctl
