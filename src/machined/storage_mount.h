// Mounting the node's partitions, and what stands on them.
#pragma once

#include <string>

#include "base/status.h"

namespace stele::machined {

// Whether something is mounted on exactly this path.
absl::StatusOr<bool> IsMounted(const std::string& target);

// `options` are mount(8)'s, such as "nosuid,nodev". The target is made when it is missing.
absl::Status MountFilesystem(const std::string& source, const std::string& target, const std::string& fstype,
                             const std::string& options);

// The folders that the workload side expects below `var`, then /opt/cni/bin and /etc/cni over theirs:
//   /opt/cni/bin  an overlay: the image's plugins below, what CNI installers write above, kept in /var
//   /etc/cni      a bind of a folder in /var
// What is there already is left. `root` is put before every absolute path; "" on a node.
absl::Status SetUpVar(const std::string& root);

}  // namespace stele::machined
