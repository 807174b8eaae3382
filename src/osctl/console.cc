#include "osctl/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.h"

namespace stele::osctl {
namespace {

// The beginning of `line` that takes at most `columns` of a terminal, never half a UTF-8 sequence.
absl::string_view Cut(absl::string_view line, size_t columns) {
  size_t used = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    bool begins = (static_cast<unsigned char>(line[i]) & 0xc0) != 0x80;
    if (begins && ++used > columns) return line.substr(0, i);
  }
  return line;
}

size_t Columns(int terminal) {
  winsize size = {};
  return ::ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

}  // namespace

void Console::Out(absl::string_view data) {
  std::lock_guard<std::mutex> lock(mutex_);
  HideStatus();
  absl::Status written = WriteAll(out_, data);
  ShowStatus();
  if (written.ok()) return;
  // Data that nobody got must not look like success. (A closed pipe ends us by SIGPIPE before.)
  std::string line = absl::StrCat("osctl: standard output: ", written.message(), "\n");
  WriteAll(err_, line).IgnoreError();  // there is nowhere left to complain to
  ::_exit(1);
}

void Console::Err(absl::string_view text) {
  std::lock_guard<std::mutex> lock(mutex_);
  HideStatus();
  WriteAll(err_, text).IgnoreError();  // a closed stderr is the caller's wish
  ShowStatus();
}

void Console::Status(absl::string_view line) { SetLine(&status_, line); }

void Console::Background(absl::string_view line) { SetLine(&background_, line); }

void Console::SetLine(std::string* which, absl::string_view line) {
  if (!ErrIsTerminal()) return;
  std::lock_guard<std::mutex> lock(mutex_);
  if (line.empty()) HideStatus();
  // The last column stays free: a terminal would wrap behind it.
  *which = std::string(Cut(line, Columns(err_) - 1));
  ShowStatus();
}

void Console::HideStatus() {
  if (!Shown().empty()) WriteAll(err_, "\r\x1b[K").IgnoreError();  // as in Err
}

void Console::ShowStatus() {
  if (!Shown().empty()) WriteAll(err_, absl::StrCat("\r", Shown(), "\x1b[K")).IgnoreError();  // as in Err
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
size_t Console::OutColumns(size_t otherwise) const { return OutIsTerminal() ? Columns(out_) : otherwise; }

}  // namespace stele::osctl
