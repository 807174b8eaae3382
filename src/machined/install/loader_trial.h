// A boot loader that an image brings is on trial as the image is: this firmware may refuse it.
//
//   TryLoader       four boot entries for the new one, and behind them one for the loader that runs
//   EndLoaderTrial  good: the loader that started this boot, alone, whichever of the two it was
//                   failed: the one behind comes first again, alone
//
// Which loader started this boot it says itself (LoaderImageIdentifier). Firmware that refuses the new one, so, starts
// the one before within the same power-on, and the end of the trial puts it first again. Firmware that hangs in it
// needs a power cycle and the boot menu, where the one before is. Nothing here decides which image runs. Blocks: a
// worker.
#pragma once

#include <string>

#include "base/status.h"
#include "machined/install/boot_entries.h"
#include "machined/install/efi_variables.h"

namespace stele::machined {

// The file of this ESP whose loader started this boot, with backslashes. NOT_FOUND: the loader did not say, it came
// from another partition, or it is none of ours.
absl::StatusOr<std::string> RunningLoader(const EspPartition& esp, const EfiVariables& variables);

// Errors as PointBootEntriesTo's.
absl::Status TryLoader(const std::string& loader, const EspPartition& esp, const EfiVariables& variables,
                       const PartitionIsGone& is_gone = IsOnNoDisk);

enum class LoaderVerdict { kGood, kFailed };
// FAILED_PRECONDITION where a good image was started by another loader than its own: by the one before, which is first
// again now, or by one without an entry, and then nothing changed. Nor does it where it is not known what runs.
absl::Status EndLoaderTrial(LoaderVerdict verdict, const EspPartition& esp, const EfiVariables& variables,
                            const PartitionIsGone& is_gone = IsOnNoDisk);

}  // namespace stele::machined
