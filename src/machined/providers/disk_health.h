// What disks answer when they are asked how they fare. Pure: the bytes of an answer, and what they say.
#pragma once

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "stele/resource/v1/hardware.pb.h"

namespace stele::machined {

// NVM Express Base Specification 2.0, 5.16.1.3: the SMART / Health Information log, 512 bytes. INVALID_ARGUMENT for
// another size.
absl::StatusOr<resource::v1::DiskHealth> ParseNvmeLog(absl::string_view log);

// ATA's SMART READ DATA, 512 bytes whose sum is 0 (ATA/ATAPI-7, 6.54.5.8; attributes as every maker numbers them).
// INVALID_ARGUMENT for anything else. `healthy` is left: it is another command's answer.
absl::StatusOr<resource::v1::DiskHealth> ParseAtaSmart(absl::string_view data);

}  // namespace stele::machined
