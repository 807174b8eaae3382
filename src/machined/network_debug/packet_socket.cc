#include "machined/network_debug/packet_socket.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace stele::machined {
namespace {

// Packets wait here while the client is slow; what is more is dropped and counted.
constexpr int kReceiveBuffer = 4 << 20;
constexpr size_t kMacs = size_t{2} * ETH_ALEN;
constexpr size_t kVlanTag = 4;

// LINKTYPE_LINUX_SLL2: what a packet socket tells of a packet without its link header.
struct Sll2Header {
  uint16_t protocol;
  uint16_t reserved;
  uint32_t index;
  uint16_t hardware;
  uint8_t direction;
  uint8_t address_size;
  uint8_t address[8];
};
static_assert(sizeof(Sll2Header) == 20);

absl::StatusOr<LinkType> LinkTypeOf(const std::string& interface) {
  ifreq request = {};
  std::memcpy(request.ifr_name, interface.data(), interface.size());
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.ok() || ::ioctl(fd.get(), SIOCGIFHWADDR, &request) != 0) return ErrnoStatus("interface ", interface);
  switch (request.ifr_hwaddr.sa_family) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
      return LinkType::kEthernet;
    case ARPHRD_NONE:  // tunnels: packets begin with IP
      return LinkType::kRawIp;
    default:
      return LinkType::kLinuxSll2;
  }
}

absl::Status SetUp(int fd, const std::vector<sock_filter>& program, uint32_t index) {
  sock_fprog filter = {.len = static_cast<uint16_t>(program.size()),
                       .filter = const_cast<sock_filter*>(program.data())};  // the kernel copies it
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0)
    return ErrnoStatus("attach the filter");
  int one = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer);  // smaller is worse, not wrong
  if (::setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one) != 0 ||
      ::setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one) != 0) {
    return ErrnoStatus("ask for packets' times and sizes");
  }
  // Only now: a packet socket without a protocol hears nothing, so none came before the filter.
  sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = static_cast<int>(index)};
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return ErrnoStatus("listen");
  return absl::OkStatus();
}

struct Told {
  timespec time = {};
  tpacket_auxdata extra = {};
};

Told ReadControl(msghdr* message) {
  Told told;
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_TIMESTAMPNS) {
      std::memcpy(&told.time, CMSG_DATA(header), sizeof told.time);
    } else if (header->cmsg_level == SOL_PACKET && header->cmsg_type == PACKET_AUXDATA) {
      std::memcpy(&told.extra, CMSG_DATA(header), sizeof told.extra);
    }
  }
  return told;
}

// The tag that the card or the kernel took out of an Ethernet frame, back in its place. `frame` has room for it.
size_t PutVlanTag(const tpacket_auxdata& extra, size_t size, char* frame) {
  if ((extra.tp_status & TP_STATUS_VLAN_VALID) == 0 || size < kMacs) return 0;
  uint16_t type = (extra.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? extra.tp_vlan_tpid : uint16_t{ETH_P_8021Q};
  uint16_t tag[] = {htons(type), htons(extra.tp_vlan_tci)};
  std::memmove(frame + kMacs + sizeof tag, frame + kMacs, size - kMacs);
  std::memcpy(frame + kMacs, tag, sizeof tag);
  return sizeof tag;
}

void PutSll2Header(const sockaddr_ll& from, char* out) {
  Sll2Header header = {.protocol = from.sll_protocol,
                       .index = htonl(static_cast<uint32_t>(from.sll_ifindex)),
                       .hardware = htons(from.sll_hatype),
                       .direction = from.sll_pkttype,
                       .address_size = from.sll_halen};
  std::memcpy(header.address, from.sll_addr, std::min<size_t>(from.sll_halen, sizeof header.address));
  std::memcpy(out, &header, sizeof header);
}

}  // namespace

absl::StatusOr<PacketSocket> PacketSocket::Open(const std::string& interface, const std::vector<sock_filter>& program) {
  uint32_t index = 0;
  LinkType link = LinkType::kLinuxSll2;
  if (interface != "any") {
    index = interface.size() < IFNAMSIZ ? ::if_nametoindex(interface.c_str()) : 0;
    if (index == 0) return absl::NotFoundError(absl::StrCat("no interface '", interface, "'; see `osctl get links`"));
    ASSIGN_OR_RETURN(link, LinkTypeOf(interface));
  }
  // Without link headers where they differ.
  int type = link == LinkType::kLinuxSll2 ? SOCK_DGRAM : SOCK_RAW;
  UniqueFd fd(::socket(AF_PACKET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrnoStatus("open a packet socket");
  RETURN_IF_ERROR(SetUp(fd.get(), program, index));
  return PacketSocket(std::move(fd), link, index);
}

absl::StatusOr<bool> PacketSocket::Append(uint32_t snap_length, std::string* chunk) {
  size_t head = link_ == LinkType::kLinuxSll2 ? sizeof(Sll2Header) : 0;
  size_t room = head + snap_length + kVlanTag;
  if (buffer_.size() < room) buffer_.resize(room);
  sockaddr_ll from = {};
  iovec part = {.iov_base = buffer_.data() + head, .iov_len = snap_length};
  alignas(cmsghdr) char control[128];
  msghdr message = {.msg_name = &from,
                    .msg_namelen = sizeof from,
                    .msg_iov = &part,
                    .msg_iovlen = 1,
                    .msg_control = control,
                    .msg_controllen = sizeof control};
  ssize_t received = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT);
  if (received < 0) return NothingReceived(errno);
  Told told = ReadControl(&message);
  size_t kept = static_cast<size_t>(received), added = head;
  uint32_t original = std::max(told.extra.tp_len, static_cast<uint32_t>(kept));
  if (link_ == LinkType::kEthernet) added = PutVlanTag(told.extra, kept, buffer_.data());
  if (link_ == LinkType::kLinuxSll2) PutSll2Header(from, buffer_.data());
  char record[kPcapRecordSize];
  PutPcapRecord(told.time, static_cast<uint32_t>(kept + added), original + static_cast<uint32_t>(added), record);
  chunk->append(record, sizeof record);
  chunk->append(buffer_.data(), kept + added);
  return true;
}

absl::StatusOr<bool> PacketSocket::NothingReceived(int error) const {
  if (error == EAGAIN || error == EINTR) return false;
  char name[IF_NAMESIZE];
  // One that only went down comes back into the same socket.
  if (error == ENETDOWN && (index_ == 0 || ::if_indextoname(index_, name) != nullptr)) return false;
  if (error == ENETDOWN || error == ENODEV || error == ENXIO) return absl::NotFoundError("interface gone");
  return StatusFromErrno(error, "receive a packet");
}

uint64_t PacketSocket::TakeDropped() {
  tpacket_stats counts = {};
  socklen_t size = sizeof counts;
  if (::getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &counts, &size) != 0) return 0;
  return counts.tp_drops;
}

}  // namespace stele::machined
