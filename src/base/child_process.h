// A program that runs beside us and whose output is read while it does; from a process with threads.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace stele {

// Move-only; its end kills the process group and reaps. Any thread, one at a time.
class ChildProcess {
 public:
  struct End {
    int exit_code = 0;   // of a program that ended by itself
    int signal = 0;      // else what ended it
    std::string errors;  // what it wrote last to its standard error; at most 4 KiB
  };

  // As PosixSpawn, with `input`, at most 4 KiB, to read.
  static absl::StatusOr<ChildProcess> Start(const std::vector<std::string>& argv, const std::vector<std::string>& env,
                                            absl::string_view input);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess() { Kill(); }

  // The next bytes of its standard output, at most 256 KiB; "" once it is closed. DEADLINE_EXCEEDED when nothing
  // came for `patience`.
  absl::StatusOr<std::string> Read(absl::Duration patience);

  // How it ended; waits for that, and kills it after `patience`. Once.
  End Wait(absl::Duration patience);

 private:
  ChildProcess() = default;
  void Kill();
  void TakeErrors();

  pid_t pid_ = -1;  // -1: reaped
  UniqueFd pidfd_, output_, errors_;
  std::string error_text_;
};

}  // namespace stele
