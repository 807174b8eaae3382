// A reboot past the firmware: the kernel, initramfs and command line of the image that runs, taken from its UKI and
// given to kexec_file_load. init then ends the machine into them.
//
// Only for an image that is good and that the boot loader would take next anyway, so that what a power cut brings is
// the same; never after an activation or in a trial, since what such an image has to prove is that it boots from cold.
// Blocks; any thread, one at a time.
#pragma once

#include "machined/upgrade/survey.h"

namespace stele::machined {

// Said on the command line of a kernel that was started so: what the boot loader left in the firmware's variables is of
// an earlier boot.
inline constexpr char kKexecWord[] = "stele.kexec=1";

// Why not, from what is on the disk. Pure.
absl::Status MayKexec(const Survey& survey, bool on_trial);

// Reads the UKI that runs, past the cache, against its signed manifest, and loads what is in it; with `validate_only`
// leaves it at the reading. DATA_LOSS when it is not what was signed.
absl::Status LoadRunningKernel(const UpgradePlace& place, const UpgradeStore& store, bool validate_only);

}  // namespace stele::machined
