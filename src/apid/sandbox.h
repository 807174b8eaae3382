// What apid gives up once its files are read: it can then reach its sockets and nothing else.
#pragma once

#include "base/status.h"

namespace stele {

// No new privileges, no core dump, no file system (Landlock, where the kernel has it), and only the system
// calls of an event loop (seccomp; any other kills the process). For a process with one thread.
absl::Status EnterSandbox();

}  // namespace stele
