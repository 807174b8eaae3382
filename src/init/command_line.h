// What the kernel's command line asks of init.
#pragma once

#include <string>

#include "base/status.h"

namespace stele::init {

// stele.root=HASH:BLOCKS:SALT, how a root slot is verified: dm-verity with SHA-256 and blocks of 4096
// bytes, no superblock, the tree right behind the data.
struct RootVerity {
  std::string hash;     // 64 lower-case hexadecimal digits
  uint64_t blocks = 0;  // of data
  std::string salt;     // hexadecimal digits, or "-" for none
};
absl::StatusOr<RootVerity> ParseRootVerity(absl::string_view value);

struct CommandLine {
  static constexpr uint64_t kTrialSeconds = 900;

  std::string root;  // as written; empty if there is none
  uint64_t trial_seconds = kTrialSeconds;
  bool watchdog = true;
  bool kexec = false;  // started by kexec, not by the boot loader
};

// The last of several counts. A bad stele.trial is as if it were not there.
CommandLine ParseCommandLine(absl::string_view text);
// Of this boot; where /proc/cmdline cannot be read, what an empty one says.
CommandLine ReadCommandLine();

}  // namespace stele::init
