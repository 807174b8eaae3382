// The image that this node was booted from, as the medium carries it: everything up to the root part in a file, the
// root part on a device. Signature, manifest and every chunk are checked: what is installed is what somebody signed.
#pragma once

#include <string>

#include "base/boot_facts.h"
#include "base/status.h"
#include "machined/install/installer.h"

namespace stele::machined {

struct MediumPaths {
  std::string head = "/run/stele/medium/head";
  std::string keys = "/usr/share/stele/keys";
};

// FAILED_PRECONDITION on a node that does not run from a medium with an image file.
absl::StatusOr<InstallSource> OpenMediumSource(const BootFacts& facts, const MediumPaths& paths);

}  // namespace stele::machined
