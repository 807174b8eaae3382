// What happens when init itself crashes: the reason goes to the kernel log and the machine reboots.
#pragma once

namespace stele::init {

// Handles SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS and SIGTRAP of init from now on: writes
// signal, address, registers and return addresses to the log, gives a forked child 3 s to sync and
// reboots. Within 10 s in any case, since the handler waits for nothing else.
void InstallCrashHandler();

}  // namespace stele::init
