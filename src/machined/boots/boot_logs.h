// The logs of the boot before: what each service and the kernel said last, put on STELE-STATE when the machine is told
// to end, as logs are kept below /run/stele/log (log_segments.h):
//
//   boot-logs/BOOT_ID/kubelet/…    the last 256 KiB of the kubelet's log
//   boot-logs/BOOT_ID/kernel/…     and of the kernel's
//
// A boot that ends otherwise (power, panic) leaves none; of a panic the kernel's last words are in the boot's history.
// All of it may block.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "machined/log_source.h"

namespace stele::machined {

inline constexpr uint64_t kBootLogBytes = 256 << 10;  // of each log
inline constexpr size_t kMaxBootLogs = 32;

// Writes the ends of the logs in `logs`, and of the kernel's, to `folder`/`boot_id`.
absl::Status SaveBootLogs(const std::string& logs, const std::string& folder, const std::string& boot_id);

// Removes those of every boot but these two.
void ForgetBootLogs(const std::string& folder, const std::string& boot_id, const std::string& boot_before);

// A service's, "init"'s or the kernel's ("kernel"). NOT_FOUND when there is none.
absl::StatusOr<std::unique_ptr<LogSource>> OpenBootLog(const std::string& folder, const std::string& boot_id,
                                                       const std::string& name, const LogStart& from);

// A text as a log of lines without times, such as what the kernel left of a panic: of `from` its cursor and tail count.
absl::StatusOr<std::unique_ptr<LogSource>> LogOfText(std::string text, const LogStart& from);

}  // namespace stele::machined
