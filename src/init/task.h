// A short-lived child for what init must not do itself: whatever may wait on a disk.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace stele::init {

// Forks; the child runs `work(argument)` with no descriptors but the log's and `kept`, and exits with
// what it returns. The child's pid, or -errno. Reaped as any other child.
pid_t StartTask(int (*work)(uint64_t argument), uint64_t argument, int kept = -1);

}  // namespace stele::init
