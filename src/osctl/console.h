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
  // One line at the bottom of a terminal that is written over again: how far something is. What Out and
  // Err print appears above it. Cut to the terminal's width; empty takes it away. Nothing off a terminal.
  void Status(absl::string_view line);
  // What that line shows while nothing else is there to show.
  void Background(absl::string_view line);
  // One line "question [y/N] " on err, one line read from in.
  bool Confirm(absl::string_view question);

  int in() const { return in_; }
  int out() const { return out_; }
  int err() const { return err_; }
  bool InIsTerminal() const;
  bool OutIsTerminal() const;
  bool ErrIsTerminal() const;
  // The width of the terminal that is out; `otherwise` when it is none.
  size_t OutColumns(size_t otherwise) const;

 private:
  void SetLine(std::string* which, absl::string_view line);
  const std::string& Shown() const { return status_.empty() ? background_ : status_; }
  // With the lock held.
  void HideStatus();
  void ShowStatus();

  std::mutex mutex_;
  int in_, out_, err_;
  std::string status_, background_;
};

}  // namespace stele::osctl
