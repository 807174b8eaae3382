// Deletes what a folder holds, save what is to be kept.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace stele::machined {

// Deletes `path` and everything below it; one that is not there is no failure. Follows no link and leaves no file
// system.
absl::Status RemoveTree(const std::string& path);

// Deletes everything below the folder `path`, save the `keep` paths (relative, such as "lib/etcd") with all that is
// below them, and the folders that lead to them. Doing it again goes on where it was cut.
absl::Status EmptyTree(const std::string& path, const std::vector<std::string>& keep);

}  // namespace stele::machined
