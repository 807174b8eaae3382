// What init says: to the kernel log, or to standard error where init is PID 1 of a namespace only.
#pragma once

namespace stele::init {

// Severities as the kernel numbers them.
enum class Level { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6 };

// Chooses where lines go from now on. Before, they go to standard error.
void OpenLog(bool kernel_log);

// One line, cut at 900 bytes. Never blocks and never allocates: a line that cannot be written at
// once is lost, and how many were is said with the next one that can.
void Log(Level level, const char* format, ...) __attribute__((format(printf, 2, 3)));

// The descriptor lines go to, for the crash handler; -1 for none.
int LogDescriptor();

}  // namespace stele::init
