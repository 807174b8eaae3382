// The kernel's log, from /dev/kmsg, as dmesg shows it.
#pragma once

#include <memory>
#include <string>

#include "machined/log_source.h"

namespace stele::machined {

// A cursor is the boot and a record's sequence number. Only records whose text begins with `from_whom`,
// such as "init: ", which has no other log.
absl::StatusOr<std::unique_ptr<LogSource>> OpenKernelLog(const std::string& boot, const LogStart& from,
                                                         const std::string& from_whom = "");

// One record of /dev/kmsg. False for what is none.
struct KernelRecord {
  uint64_t sequence = 0;
  int64_t time_us = 0;  // since the kernel started
  size_t prefix = 0;    // bytes of `text` before what was logged
  std::string text;     // "[    1.234567] usb 1-1: new device\n", continuation lines indented
};
bool ParseKernelRecord(absl::string_view record, KernelRecord& out);

}  // namespace stele::machined
