// machined's own log: lines on standard error, which init keeps as the log of service "machined".
#pragma once

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace stele::machined {

// One line, one write; never blocks longer than init's log pipe does (base/init_protocol.h).
template <typename... Pieces>
void Log(const Pieces&... pieces) {
  std::string line = absl::StrCat(pieces..., "\n");
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace stele::machined
