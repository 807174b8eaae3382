// osctl's exit codes: a promise to scripts. docs/exit-codes.md is made from the table.
#pragma once

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace stele::osctl {

enum class ExitCode : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kUnreachable = 3,
  kAuthentication = 4,
  kPermission = 5,
  kNotFound = 6,
  kInvalidConfig = 7,
  kLocal = 8,
};

struct ExitCodeText {
  ExitCode code;
  absl::string_view name;
  absl::string_view meaning;
};

// Every code, in order.
absl::Span<const ExitCodeText> ExitCodes();

}  // namespace stele::osctl
