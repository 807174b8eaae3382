// The pcap file format: https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace stele::machined {

// https://www.tcpdump.org/linktypes.html
enum class LinkType : uint32_t { kEthernet = 1, kRawIp = 101, kLinuxSll2 = 276 };

inline constexpr size_t kPcapHeaderSize = 24;
inline constexpr size_t kPcapRecordSize = 16;

// With times in nanoseconds, in this machine's byte order.
std::string PcapHeader(LinkType link, uint32_t snap_length);
// Writes kPcapRecordSize bytes: what comes before a packet of `original` bytes of which `kept` follow.
void PutPcapRecord(timespec time, uint32_t kept, uint32_t original, char* out);

}  // namespace stele::machined
