// A packet socket that copies what a filter takes, and how its packets look in a pcap file.
#pragma once

#include <linux/filter.h>

#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "machined/network_debug/pcap_file.h"

namespace stele::machined {

class PacketSocket {
 public:
  // Listens on `interface`, or on all with "any". Nothing that `program` refuses ever arrives. NOT_FOUND for an
  // interface that is not there.
  static absl::StatusOr<PacketSocket> Open(const std::string& interface, const std::vector<sock_filter>& program);

  int fd() const { return fd_.get(); }
  LinkType link() const { return link_; }
  // Bytes that a record may need beyond the packet: its header, and a link header or VLAN tag put before.
  static constexpr size_t kOverhead = kPcapRecordSize + 20 + 4;

  // Appends a record with at most `snap_length` bytes of a packet that is there already, kOverhead + snap_length bytes
  // at most; false when there is none. NOT_FOUND once the interface is gone.
  absl::StatusOr<bool> Append(uint32_t snap_length, std::string* chunk);
  // Packets that the filter took and that found no room, since the last call.
  uint64_t TakeDropped();

 private:
  PacketSocket(UniqueFd fd, LinkType link, uint32_t index) : fd_(std::move(fd)), link_(link), index_(index) {}

  absl::StatusOr<bool> NothingReceived(int error) const;

  UniqueFd fd_;
  std::string buffer_;  // for one packet
  LinkType link_;
  uint32_t index_;  // 0: all
};

}  // namespace stele::machined
