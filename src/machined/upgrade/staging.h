// Takes an image to the slot that does not run: check → prepare → write → verify, a table (StageSteps).
//
// Each step may be cut at any moment, by a kill, an error or the power, and is done again by the next call:
// what is on the disk is the progress. Nothing here gives a file an `.efi` name, writes the running slot, or
// touches the running UKI; the loader's view changes in `prepare` only, where the other slot's UKI goes,
// before the slot it names is written.
// Blocks; a thread of its own, one at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "image_file/header.h"
#include "image_file/signature.h"
#include "machined/upgrade/chunks.h"
#include "machined/upgrade/esp.h"
#include "machined/upgrade/place.h"
#include "machined/upgrade/stage_target.h"
#include "machined/upgrade/upgrade_store.h"

namespace stele::machined {

struct StageRequest {
  std::string header;  // the file's first bytes, to the end of the signed manifest
  bool force = false;
  bool validate_only = false;
  std::string asked_by;
};

class Staging {
 public:
  struct Progress {
    const char* step = "";
    uint64_t offset = 0;  // in the file: up to here its hashes are right, and it is written
  };
  struct Callbacks {
    // The image's next bytes, from the offset that the first `write` told. "" at the stream's end.
    std::function<absl::StatusOr<std::string>()> next;
    std::function<void(const Progress&)> progress;
    KeepGoing keep_going;
    // A step begins.
    std::function<void(const char* step)> begins;
  };
  // Borrows all of them.
  Staging(const UpgradePlace& place, const UpgradeStore& store, const image_file::TrustedKeys& keys,
          StageRequest request, Callbacks callbacks);

  // The errors are UpgradeService.StageImage's. ABORTED when the stream ended before the image did.
  absl::Status Run();

  // Once `check` is through.
  const std::string& version() const { return header_.manifest.version(); }
  uint64_t total() const { return header_.total_size; }

 private:
  friend struct StageStep;
  friend const std::vector<struct StageStep>& StageSteps();
  absl::Status Check();
  absl::Status Prepare();
  absl::Status Write();
  absl::Status Verify();

  absl::Status CheckVersions() const;
  absl::Status CheckHistory() const;
  absl::Status CheckRunning(const Esp& esp, const std::vector<BootEntry>& entries) const;
  absl::Status CheckSpace(const Esp& esp, const std::vector<BootEntry>& entries) const;
  absl::Status RemoveOthers(Esp& esp, uint64_t keep_number);
  bool Goes(const Esp& esp, const std::vector<BootEntry>& entries, const BootEntry& entry) const;
  absl::StatusOr<uint64_t> FindStart();
  absl::Status Receive(uint64_t position);
  absl::Status Take(uint64_t position, absl::string_view bytes);
  absl::Status FinishChunk(int part, uint64_t offset);
  absl::Status FinishPart(int part);
  absl::Status ReadBack();
  absl::Status OpenTarget(int part);
  absl::StatusOr<bool> IsThere(int part);

  const UpgradePlace& place_;
  const UpgradeStore& store_;
  const image_file::TrustedKeys& keys_;
  StageRequest request_;
  Callbacks callbacks_;
  image_file::Header header_;
  UpgradeRecord record_;
  // While it writes: where the part goes that is under way, and its chunk that is not complete yet.
  EspWindow window_;
  std::unique_ptr<StageTarget> target_;
  std::string chunk_;
  // How much of that part is known to be on the disk as the manifest has it: read and hashed when the call began, or
  // compared with `unread_`, which was written behind it and is not read back yet.
  uint64_t proven_ = 0;
  std::string unread_;
  // The parts of which all is known so.
  std::set<image::v1::PartKind> whole_;
};

// Reads an image back that was written but not activated: the UKI of that number, and the whole root.
absl::Status VerifyStaged(const UpgradePlace& place, const image_file::Header& header, uint64_t number,
                          const KeepGoing& keep_going);

// Likewise the root in the other slot alone.
absl::Status VerifyRoot(const UpgradePlace& place, const image_file::Header& header, const KeepGoing& keep_going);

// A step of staging. `name` is what StageImageResponse.step says.
struct StageStep {
  const char* name;
  absl::Status (Staging::*run)();
};
const std::vector<StageStep>& StageSteps();

}  // namespace stele::machined
