// The mounts init makes, as tables, and how one is made.
#pragma once

#include "absl/types/span.h"
#include "base/status.h"

namespace stele::init {

struct MountSpec {
  const char* source;
  const char* target;
  const char* type;
  unsigned long flags;
  const char* options;
  bool optional = false;  // not every kernel and machine has it, and boot goes on without
};

// Mounts unless something is mounted there already, making the directory if it can.
absl::Status MountUnlessMounted(const MountSpec& mount);

// Whether `path` is the root of a mount.
bool IsMountPoint(const char* path);

// /proc, /sys, /dev and /run: what both stages need.
absl::Span<const MountSpec> KernelMounts();
// What the second stage adds: cgroup2, pts, shm, bpf, pstore, EFI variables, /tmp.
absl::Span<const MountSpec> MoreMounts();

// /dev for a namespace, where the machine's devices are not ours: a tmpfs with the harmless ones.
absl::Status MakeSmallDev();
// /dev/fd, /dev/stdin and the like, which no kernel makes.
void MakeDevLinks();

}  // namespace stele::init
