// Gives an image archive to containerd.
//
// containerd's transfer service does the work (the same in 1.7 and 2.x): we open a byte stream with
// its streaming service, ask it to transfer from the stream to its image store, and send the archive
// as fast as it asks for more. Containerd unpacks, names and labels the images; nothing is kept here.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace stele::machined {

// The archive's next bytes; empty at its end. May block; an error ends the import with it.
using ReadArchive = std::function<absl::StatusOr<std::string>()>;

struct ImportOptions {
  std::string socket;
  bool pinned = false;  // kept from the kubelet's garbage collection
};

// Blocks until the images are there: a thread of the caller's own. The names of the images that the
// archive held (OCI layout or docker save). INVALID_ARGUMENT for what is no archive of images.
absl::StatusOr<std::vector<std::string>> ImportArchive(const ImportOptions& options, const ReadArchive& read);

// The same from a file.
absl::StatusOr<std::vector<std::string>> ImportFile(const ImportOptions& options, const std::string& path);

}  // namespace stele::machined
