// An image from somewhere else into the slot that does not run: its header first, then what Staging asks for.
// Blocks; the fetch's own thread.
#pragma once

#include "machined/upgrade/remote_file.h"
#include "machined/upgrade/staging.h"

namespace stele::machined {

struct FetchCallbacks {
  // How far the file is staged, from when its header was read.
  std::function<void(const Staging&, const Staging::Progress&)> progress;
  KeepGoing keep_going;
};

// `request` comes without a header. Errors are FetchImage's.
absl::Status FetchAndStage(RemoteFile& file, const UpgradePlace& place, const UpgradeStore& store,
                           const image_file::TrustedKeys& keys, StageRequest request, const FetchCallbacks& callbacks);

}  // namespace stele::machined
