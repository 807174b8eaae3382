#include "base/netlink.h"

#include <sys/socket.h>
#include <sys/time.h>

namespace stele {
namespace {

constexpr size_t kBuffer = 64 * 1024;  // the kernel fills a dump's packets up to 32 KiB
constexpr int kReceiveSpace = 1 << 20;
// The kernel answers inside sendmsg; a time-out only keeps a bug from hanging the owner thread.
constexpr timeval kAnswerTimeout = {.tv_sec = 5, .tv_usec = 0};

// An error message's code, and the text and attributes that follow it (extended ACK).
absl::Status StatusOfError(absl::string_view payload) {
  nlmsgerr error;
  if (payload.size() < sizeof(error)) return absl::InternalError("netlink: truncated error");
  std::memcpy(&error, payload.data(), sizeof(error));
  if (error.error == 0) return absl::OkStatus();
  // With NETLINK_CAP_ACK only the failed request's header is repeated before the attributes.
  std::string text = NetlinkAttributes(payload.substr(sizeof(error))).String(NLMSGERR_ATTR_MSG);
  return StatusFromErrno(-error.error, text.empty() ? "netlink" : text);
}

// Splits a packet into its messages. False from `each` ends it.
template <typename Each>
void ForEachMessage(absl::string_view packet, Each each) {
  while (packet.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    std::memcpy(&header, packet.data(), sizeof(header));
    if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > packet.size()) return;
    if (!each(header, packet.substr(sizeof(header), header.nlmsg_len - sizeof(header)))) return;
    packet.remove_prefix(std::min<size_t>(NLMSG_ALIGN(header.nlmsg_len), packet.size()));
  }
}

}  // namespace

NetlinkMessage::NetlinkMessage(uint16_t type, uint16_t flags) {
  nlmsghdr header = {};
  header.nlmsg_type = type;
  header.nlmsg_flags = flags | NLM_F_REQUEST;
  Append(&header, sizeof(header));
}

void NetlinkMessage::Append(const void* data, size_t size) {
  bytes_.append(static_cast<const char*>(data), size);
  bytes_.append(NLMSG_ALIGN(size) - size, '\0');
}

void NetlinkMessage::AddBytes(uint16_t attribute, absl::string_view value) {
  rtattr header = {.rta_len = static_cast<uint16_t>(RTA_LENGTH(value.size())), .rta_type = attribute};
  Append(&header, sizeof(header));
  Append(value.data(), value.size());
}

void NetlinkMessage::AddU8(uint16_t attribute, uint8_t value) {
  AddBytes(attribute, absl::string_view(reinterpret_cast<const char*>(&value), sizeof(value)));
}

void NetlinkMessage::AddU32(uint16_t attribute, uint32_t value) {
  AddBytes(attribute, absl::string_view(reinterpret_cast<const char*>(&value), sizeof(value)));
}

void NetlinkMessage::AddString(uint16_t attribute, absl::string_view value) {
  std::string terminated(value);
  terminated.push_back('\0');
  AddBytes(attribute, terminated);
}

absl::string_view NetlinkMessage::Finish(uint16_t more_flags, uint32_t sequence) {
  nlmsghdr header;
  std::memcpy(&header, bytes_.data(), sizeof(header));
  header.nlmsg_len = static_cast<uint32_t>(bytes_.size());
  header.nlmsg_flags |= more_flags;
  header.nlmsg_seq = sequence;
  std::memcpy(bytes_.data(), &header, sizeof(header));
  return bytes_;
}

bool NetlinkAttributes::Has(uint16_t attribute) const { return Get(attribute).data() != nullptr; }

absl::string_view NetlinkAttributes::Get(uint16_t attribute) const {
  absl::string_view rest = bytes_;
  while (rest.size() >= sizeof(rtattr)) {
    rtattr header;
    std::memcpy(&header, rest.data(), sizeof(header));
    if (header.rta_len < sizeof(header) || header.rta_len > rest.size()) break;
    if ((header.rta_type & NLA_TYPE_MASK) == attribute) {
      return rest.substr(RTA_LENGTH(0), header.rta_len - RTA_LENGTH(0));
    }
    rest.remove_prefix(std::min<size_t>(RTA_ALIGN(header.rta_len), rest.size()));
  }
  return absl::string_view();
}

uint32_t NetlinkAttributes::U32(uint16_t attribute, uint32_t otherwise) const {
  absl::string_view value = Get(attribute);
  if (value.size() != sizeof(uint32_t)) return otherwise;
  uint32_t number;
  std::memcpy(&number, value.data(), sizeof(number));
  return number;
}

uint8_t NetlinkAttributes::U8(uint16_t attribute, uint8_t otherwise) const {
  absl::string_view value = Get(attribute);
  return value.size() == 1 ? static_cast<uint8_t>(value[0]) : otherwise;
}

std::string NetlinkAttributes::String(uint16_t attribute) const {
  absl::string_view value = Get(attribute);
  return std::string(value.substr(0, value.find('\0')));
}

absl::StatusOr<NetlinkSocket> NetlinkSocket::Open(uint32_t groups) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd.ok()) return ErrnoStatus("open netlink socket");
  int on = 1;
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kAnswerTimeout, sizeof(kAnswerTimeout));
  if (groups != 0) ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveSpace, sizeof(kReceiveSpace));
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
    return ErrnoStatus("bind netlink socket");
  }
  return NetlinkSocket(std::move(fd));
}

absl::Status NetlinkSocket::Send(NetlinkMessage& message, uint16_t flags) {
  // Sequence numbers tell a late answer to an earlier request from ours.
  absl::string_view bytes = message.Finish(flags, ++sequence_);
  ssize_t sent;
  do {
    sent = ::send(fd_.get(), bytes.data(), bytes.size(), 0);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return ErrnoStatus("send to netlink");
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> NetlinkSocket::ReceivePacket(int flags) {
  buffer_.resize(kBuffer);
  for (;;) {
    sockaddr_nl from = {};
    socklen_t from_size = sizeof(from);
    ssize_t size = ::recvfrom(fd_.get(), buffer_.data(), buffer_.size(), flags | MSG_TRUNC,
                              reinterpret_cast<sockaddr*>(&from), &from_size);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return ErrnoStatus("receive from netlink");
    if (from.nl_pid != 0) continue;  // another process, not the kernel
    if (static_cast<size_t>(size) > buffer_.size()) return absl::ResourceExhaustedError("netlink: packet too large");
    return absl::string_view(buffer_.data(), static_cast<size_t>(size));
  }
}

absl::Status NetlinkSocket::Request(NetlinkMessage& message) {
  RETURN_IF_ERROR(Send(message, NLM_F_ACK));
  for (;;) {
    ASSIGN_OR_RETURN(absl::string_view packet, ReceivePacket(0));
    bool answered = false;
    absl::Status status;
    ForEachMessage(packet, [&](const nlmsghdr& header, absl::string_view payload) {
      if (header.nlmsg_seq != sequence_ || header.nlmsg_type != NLMSG_ERROR) return true;
      answered = true;
      status = StatusOfError(payload);
      return false;
    });
    if (answered) return status;
  }
}

absl::Status NetlinkSocket::Dump(NetlinkMessage& message, const OnReply& on_reply) {
  RETURN_IF_ERROR(Send(message, NLM_F_DUMP));
  absl::Status status;
  for (bool done = false; !done;) {
    ASSIGN_OR_RETURN(absl::string_view packet, ReceivePacket(0));
    ForEachMessage(packet, [&](const nlmsghdr& header, absl::string_view payload) {
      if (header.nlmsg_seq != sequence_) return true;
      if (header.nlmsg_flags & NLM_F_DUMP_INTR) status = absl::AbortedError("netlink: dump was interrupted");
      if (header.nlmsg_type == NLMSG_DONE) return !(done = true);
      if (header.nlmsg_type == NLMSG_ERROR) {
        status = StatusOfError(payload);
        return !(done = true);
      }
      on_reply({header.nlmsg_type, payload});
      return true;
    });
  }
  return status;
}

absl::Status NetlinkSocket::Receive(const OnReply& on_reply) {
  for (;;) {
    absl::StatusOr<absl::string_view> packet = ReceivePacket(MSG_DONTWAIT);
    if (!packet.ok()) {
      if (absl::IsUnavailable(packet.status())) return absl::OkStatus();  // EAGAIN: nothing more
      return packet.status();                                             // ENOBUFS is RESOURCE_EXHAUSTED
    }
    ForEachMessage(*packet, [&](const nlmsghdr& header, absl::string_view payload) {
      if (header.nlmsg_type >= NLMSG_MIN_TYPE) on_reply({header.nlmsg_type, payload});
      return true;
    });
  }
}

}  // namespace stele
