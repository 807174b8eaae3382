#include "osctl/console.h"

#include <unistd.h>

#include "base/file.h"

namespace stele::osctl {

void Console::Out(absl::string_view data) {
  std::lock_guard<std::mutex> lock(mutex_);
  absl::Status written = WriteAll(out_, data);
  if (written.ok()) return;
  // Data that nobody got must not look like success. (A closed pipe ends us by SIGPIPE before.)
  std::string line = absl::StrCat("osctl: standard output: ", written.message(), "\n");
  WriteAll(err_, line).IgnoreError();  // there is nowhere left to complain to
  ::_exit(1);
}

void Console::Err(absl::string_view text) {
  std::lock_guard<std::mutex> lock(mutex_);
  WriteAll(err_, text).IgnoreError();  // a closed stderr is the caller's wish
}

bool Console::Confirm(absl::string_view question) {
  Err(absl::StrCat(question, " [y/N] "));
  std::string answer;
  char c = 0;
  while (::read(in_, &c, 1) == 1 && c != '\n') answer.push_back(c);
  return answer == "y" || answer == "Y" || answer == "yes";
}

bool Console::InIsTerminal() const { return ::isatty(in_) == 1; }
bool Console::OutIsTerminal() const { return ::isatty(out_) == 1; }
bool Console::ErrIsTerminal() const { return ::isatty(err_) == 1; }

}  // namespace stele::osctl
