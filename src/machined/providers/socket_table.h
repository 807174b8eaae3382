// One line of /proc/net/{tcp,udp,raw}{,6} (Documentation/networking/proc_net_tcp.rst).
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "stele/resource/v1/kernel.pb.h"

namespace stele::machined {

struct SocketLine {
  uint64_t inode = 0;  // 0: nobody has it any more, such as in time-wait
  resource::v1::Socket body;
};

// INVALID_ARGUMENT for a line that is none, such as the heading.
absl::StatusOr<SocketLine> ParseSocketLine(absl::string_view line, absl::string_view protocol);

}  // namespace stele::machined
