// What a failed status means to osctl: its exit code and what to do next. Both travel in the status
// as payloads, so that whoever knows more (the TLS diagnosis, a command) can say it.
#pragma once

#include <string>

#include "base/status.h"
#include "osctl/exit_code.h"

namespace stele::osctl {

// A status of `code` that ends osctl with `exit` and advises `next`.
absl::Status Failure(absl::StatusCode code, ExitCode exit, absl::string_view why, absl::string_view next = "");

// A wrong command line.
absl::Status UsageError(absl::string_view why, absl::string_view next = "see --help");
// A file or setting of this machine.
absl::Status LocalError(absl::string_view why, absl::string_view next = "");
// `status` (failed) ending osctl with `exit`; advice that it has stays unless `next` is given.
absl::Status WithExit(absl::Status status, ExitCode exit, absl::string_view next = "");

// The payload's, else what the status' code says.
ExitCode ExitCodeOf(const absl::Status& status);
std::string NextStepOf(const absl::Status& status);

// "osctl: NODE: why; next", one line, ended by a newline. `node` may be empty.
std::string FailureLine(absl::string_view node, const absl::Status& status);

}  // namespace stele::osctl
