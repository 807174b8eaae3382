// Taking the mount tree down at the end of the machine. Runs in a task: it may block.
#pragma once

#include <cstdint>

namespace stele::init {

// Bits of UnmountAll's answer; 0: all is unmounted and every block device is released.
inline constexpr int kDetached = 1;    // something was busy to the end and was detached
inline constexpr int kDeviceBusy = 2;  // a block device is still in use; it was forced read-only
inline constexpr int kNoTable = 4;     // the mount table could not be read

struct UnmountOptions {
  uint64_t deadline_ns = 0;    // of CLOCK_BOOTTIME
  bool whole_machine = false;  // check devices and force them read-only: never inside a container
};

// Unmounts everything but /, /proc, /sys, /dev and /run, the deepest first, again and again until
// the deadline, then detaches what is left. Allocates nothing.
int UnmountAll(const UnmountOptions& options);

// One line of /proc/self/mountinfo, cut in place; false for a line that is none.
struct MountLine {
  char* target = nullptr;
  char* source = nullptr;
};
bool ParseMountLine(char* line, MountLine& mount);

}  // namespace stele::init
