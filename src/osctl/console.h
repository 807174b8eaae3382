// Where osctl reads and writes: data to out, words to err. Tests give descriptors of their own.
#pragma once

#include <mutex>
#include <string>

#include "base/status.h"

namespace stele::osctl {

// Safe from several threads; one Out or Err is never torn apart by another. Borrows descriptors.
class Console {
 public:
  Console(int in, int out, int err) : in_(in), out_(out), err_(err) {}

  void Out(absl::string_view data);
  void Err(absl::string_view text);
  // One line "question [y/N] " on err, one line read from in.
  bool Confirm(absl::string_view question);

  int in() const { return in_; }
  bool InIsTerminal() const;
  bool OutIsTerminal() const;
  bool ErrIsTerminal() const;

 private:
  std::mutex mutex_;
  int in_, out_, err_;
};

}  // namespace stele::osctl
