// A log's last lines, for a record.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace stele::machined {

// At most 5 lines of 200 bytes, and none that could hold a secret.
std::string Excerpt(absl::string_view log);

}  // namespace stele::machined
