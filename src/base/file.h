// Whole files: read with a bound, written so that a power cut leaves the old or the new.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace stele {

// The file's bytes; RESOURCE_EXHAUSTED when there are more than `limit`.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit = 1 << 20);

// Writes all of `data` to `fd`, over short writes and EINTR.
absl::Status WriteAll(int fd, absl::string_view data);

// Writes an existing control file (sysctl, cgroup) in one write.
absl::Status WriteControlFile(const std::string& path, absl::string_view value);

// Temp file beside `path`, fsync, rename, fsync of the directory: old or new, never torn.
absl::Status ReplaceFile(const std::string& path, absl::string_view data, mode_t mode = 0644, uid_t uid = 0,
                         gid_t gid = 0);

// Makes `path` and its missing parents; what exists is left as it is.
absl::Status MakeDirectories(const std::string& path, mode_t mode = 0755);

}  // namespace stele
