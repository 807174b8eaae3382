// The datagram of dhcp-report.
#pragma once

#include <string>

namespace stele::applets {

inline constexpr char kDhcpSocket[] = "/run/stele/dhcp.sock";
inline constexpr size_t kMaxDhcpReport = 4096;

// The lines NAME=value, each with a newline, of `environment` (ends in nullptr) that tell about a
// lease: reason, interface and protocol first, then what begins with new_. A value with a newline
// is left out, and so is what does not fit any more.
std::string DhcpReport(const char* const* environment);

}  // namespace stele::applets
