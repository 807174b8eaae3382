// What apid gives up before its first client: it can then reach its sockets and its keys, and nothing else.
#pragma once

#include <string>

#include "base/status.h"

namespace stele {

// No new privileges, no core dump, of the file system only the folder of `keys`, to read (Landlock, where the kernel
// has it), and only the system calls of an event loop (seccomp; any other kills the process). For a process with one
// thread.
absl::Status EnterSandbox(const std::string& keys);

}  // namespace stele
