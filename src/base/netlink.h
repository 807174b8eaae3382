// rtnetlink as three acts: ask for one thing, dump everything of a kind, hear what changes.
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace stele {

// A request under construction: netlink header, the type's fixed part, attributes.
class NetlinkMessage {
 public:
  template <typename Fixed>
  NetlinkMessage(uint16_t type, uint16_t flags, const Fixed& fixed) : NetlinkMessage(type, flags) {
    Append(&fixed, sizeof(fixed));
  }
  void AddBytes(uint16_t attribute, absl::string_view value);
  void AddU8(uint16_t attribute, uint8_t value);
  void AddU32(uint16_t attribute, uint32_t value);
  // With the terminating NUL the kernel expects.
  void AddString(uint16_t attribute, absl::string_view value);

  // The finished message, with sequence number and flags set by NetlinkSocket.
  absl::string_view Finish(uint16_t more_flags, uint32_t sequence);

 private:
  NetlinkMessage(uint16_t type, uint16_t flags);
  void Append(const void* data, size_t size);
  std::string bytes_;
};

// The attributes that follow a fixed part. Never reads past the bytes it was given.
class NetlinkAttributes {
 public:
  explicit NetlinkAttributes(absl::string_view bytes) : bytes_(bytes) {}
  // Empty when there is none; the first when there are several.
  absl::string_view Get(uint16_t attribute) const;
  bool Has(uint16_t attribute) const;
  uint32_t U32(uint16_t attribute, uint32_t otherwise = 0) const;
  uint8_t U8(uint16_t attribute, uint8_t otherwise = 0) const;
  // Without the terminating NUL.
  std::string String(uint16_t attribute) const;
  NetlinkAttributes Nested(uint16_t attribute) const { return NetlinkAttributes(Get(attribute)); }

 private:
  absl::string_view bytes_;
};

// One message from the kernel. Borrows the socket's buffer: valid during the callback.
struct NetlinkReply {
  uint16_t type = 0;
  absl::string_view payload;  // after the netlink header

  // False when the payload is too short for it.
  template <typename Fixed>
  bool Read(Fixed* fixed) const {
    if (payload.size() < sizeof(Fixed)) return false;
    std::memcpy(fixed, payload.data(), sizeof(Fixed));
    return true;
  }
  template <typename Fixed>
  NetlinkAttributes AttributesAfter() const {
    return NetlinkAttributes(payload.size() > NLMSG_ALIGN(sizeof(Fixed)) ? payload.substr(NLMSG_ALIGN(sizeof(Fixed)))
                                                                         : absl::string_view());
  }
};

class NetlinkSocket {
 public:
  using OnReply = std::function<void(const NetlinkReply&)>;

  // `groups` as in netlink(7), to hear changes; 0 for a socket that asks. Not both on one socket:
  // a change could arrive where an answer is expected.
  static absl::StatusOr<NetlinkSocket> Open(uint32_t groups = 0);

  // Sends and waits for the kernel's acknowledgement, which comes at once. The error is the
  // kernel's errno with its own explanation.
  absl::Status Request(NetlinkMessage& message);
  // All objects of a kind. ABORTED when they changed meanwhile and the answer is inconsistent.
  absl::Status Dump(NetlinkMessage& message, const OnReply& on_reply);
  // What the kernel told since last time, without waiting. RESOURCE_EXHAUSTED: it told more than
  // the buffer holds, something was lost, dump anew.
  absl::Status Receive(const OnReply& on_reply);

  int fd() const { return fd_.get(); }

 private:
  explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  absl::Status Send(NetlinkMessage& message, uint16_t flags);
  absl::StatusOr<absl::string_view> ReceivePacket(int flags);

  UniqueFd fd_;
  std::string buffer_;
  uint32_t sequence_ = 0;
};

}  // namespace stele
