// Lines of a stream of bytes, each behind a prefix, so that several nodes' can be told apart.
#pragma once

#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace stele::osctl {

class LinePrefix {
 public:
  // An empty prefix changes nothing.
  explicit LinePrefix(std::string prefix) : prefix_(std::move(prefix)) {}

  // The whole lines there are so far; what follows the last newline waits, up to 64 KiB.
  std::string Take(absl::string_view data);
  // What waited, as a last line.
  std::string Rest();

 private:
  std::string prefix_;
  std::string waiting_;
};

}  // namespace stele::osctl
