// Filters against the real kernel: frames that are sent into a veth pair of a network namespace, and which of them a
// packet socket with the program gets.
#include "machined/network_debug/packet_filter.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <linux/if_packet.h>
#include <linux/veth.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/netlink.h"
#include "machined/network_debug/packet_socket.h"

namespace stele::machined {
namespace {

using testing::HasSubstr;

std::string Hex(absl::string_view hex) { return absl::HexStringToBytes(hex); }

// ---- Frames

std::string Ethernet(absl::string_view type, absl::string_view payload) {
  return Hex("02000000000202000000000199990000").substr(0, 12) + Hex(type) + std::string(payload);
}

std::string Word(uint16_t value) { return {static_cast<char>(value >> 8), static_cast<char>(value)}; }

struct Ip {
  uint8_t protocol = 6;
  const char* from = "10.0.0.1";
  const char* to = "10.0.0.2";
  uint16_t fragment = 0;
  bool options = false;  // a longer header
};

std::string Bytes(const char* address) { return *ParseIpAddress(address); }

std::string Ip4(const Ip& ip, const std::string& payload) {
  std::string header = Hex(ip.options ? "46000000" : "45000000") + Word(1) + Word(ip.fragment) + Hex("40") +
                       std::string(1, static_cast<char>(ip.protocol)) + Word(0) + Bytes(ip.from) + Bytes(ip.to) +
                       (ip.options ? Hex("01010101") : "");
  uint16_t size = static_cast<uint16_t>(header.size() + payload.size());
  header[2] = static_cast<char>(size >> 8);
  header[3] = static_cast<char>(size);
  return Ethernet("0800", header + payload);
}

std::string Ip6(uint8_t next, const char* from, const char* to, const std::string& payload) {
  return Ethernet("86dd", Hex("60000000") + Word(static_cast<uint16_t>(payload.size())) +
                              std::string(1, static_cast<char>(next)) + Hex("40") + Bytes(from) + Bytes(to) + payload);
}

std::string Segment(uint16_t from, uint16_t to) { return Word(from) + Word(to) + std::string(16, '\0'); }

std::string Arp(const char* from, const char* to) {
  return Ethernet("0806", Hex("00010800060400010200000000011111").substr(0, 8) + Hex("020000000001") + Bytes(from) +
                              Hex("000000000000") + Bytes(to));
}

struct Frame {
  const char* name;
  std::string bytes;
};

const std::vector<Frame>& Frames() {
  static const auto* frames = new std::vector<Frame>{
      {"tcp80", Ip4({}, Segment(40000, 80))},
      {"tcp80back", Ip4({.from = "10.0.0.2", .to = "10.0.0.1"}, Segment(80, 40000))},
      {"tcp443", Ip4({.to = "192.0.2.9"}, Segment(40001, 443))},
      {"tcp80options", Ip4({.options = true}, Segment(40000, 80))},
      {"udp53", Ip4({.protocol = 17}, Segment(5353, 53))},
      {"udp53fragment", Ip4({.protocol = 17, .fragment = 0x2010}, Segment(5353, 53))},
      {"udp53first", Ip4({.protocol = 17, .fragment = 0x2000}, Segment(5353, 53))},
      {"sctp", Ip4({.protocol = 132}, Segment(2905, 2905))},
      {"icmp", Ip4({.protocol = 1}, Hex("0800000000010001"))},
      {"gre", Ip4({.protocol = 47}, Segment(80, 80))},
      {"arp", Arp("10.0.0.1", "10.0.0.7")},
      {"tcp6", Ip6(6, "2001:db8::1", "2001:db8:1::2", Segment(40000, 80))},
      {"udp6", Ip6(17, "2001:db8::1", "2001:db8::5", Segment(546, 547))},
      {"icmp6", Ip6(58, "fe80::1", "ff02::1", Hex("8700000000000000"))},
      {"short4", Ethernet("0800", Hex("450000140000"))},
      {"lldp", Ethernet("88cc", std::string(46, '\0'))},
  };
  return *frames;
}

// ---- The kernel

void MakeVeth() {
  absl::StatusOr<NetlinkSocket> socket = NetlinkSocket::Open();
  ASSERT_TRUE(socket.ok());
  auto attribute = [](uint16_t type, absl::string_view value) {
    NetlinkMessage nested(0, 0, ifinfomsg{});
    nested.AddBytes(type, value);
    return std::string(nested.Finish(0, 0).substr(sizeof(nlmsghdr) + sizeof(ifinfomsg)));
  };
  std::string peer(sizeof(ifinfomsg), '\0');
  peer += attribute(IFLA_IFNAME, absl::string_view("out\0", 4));
  std::string kind = attribute(IFLA_INFO_KIND, "veth") + attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer));
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  message.AddString(IFLA_IFNAME, "in");
  message.AddBytes(IFLA_LINKINFO, kind);
  absl::Status made = socket->Request(message);
  ASSERT_TRUE(made.ok()) << made;
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  for (absl::string_view name : {"in", "out"}) {
    ifreq request = {};
    std::copy(name.begin(), name.end(), request.ifr_name);
    request.ifr_flags = IFF_UP;
    ASSERT_EQ(::ioctl(fd.get(), SIOCSIFFLAGS, &request), 0) << name;
  }
}

// Runs `body` in a child with a network of its own: veth "out" leads to "in"; its failures fail the test.
void WithVeth(const std::function<void()>& body) {
  uid_t uid = ::getuid();
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) ::_exit(77);
    WriteControlFile("/proc/self/uid_map", absl::StrCat("0 ", uid, " 1")).IgnoreError();
    // Else the kernel's own packets would be among ours.
    WriteControlFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").IgnoreError();
    MakeVeth();
    body();
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "needs user and network namespaces";
  EXPECT_EQ(status, 0) << "see the child's messages above";
}

void Send(const std::vector<Frame>& frames) {
  UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  ASSERT_TRUE(fd.ok());
  sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = static_cast<int>(if_nametoindex("out")), .sll_halen = 6};
  for (const Frame& frame : frames) {
    ASSERT_EQ(
        ::sendto(fd.get(), frame.bytes.data(), frame.bytes.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to),
        static_cast<ssize_t>(frame.bytes.size()))
        << frame.name;
  }
}

// The names of the frames in pcap records; with a link header of `skip` bytes in place of Ethernet's.
std::string NamesIn(absl::string_view records, size_t skip) {
  std::vector<std::string> names;
  while (records.size() >= kPcapRecordSize) {
    uint32_t kept;
    std::memcpy(&kept, records.data() + 8, sizeof kept);
    absl::string_view packet = records.substr(kPcapRecordSize, kept).substr(skip);
    std::string name = "?";
    for (const Frame& frame : Frames()) {
      if (absl::string_view(frame.bytes).substr(skip == 0 ? 0 : ETH_HLEN) == packet) name = frame.name;
    }
    names.push_back(name);
    records.remove_prefix(kPcapRecordSize + kept);
  }
  return absl::StrJoin(names, " ");
}

std::string Captured(const std::string& interface, const std::string& text) {
  absl::StatusOr<FilterPtr> filter = ParseFilter(text);
  if (!filter.ok()) return std::string(filter.status().message());
  absl::StatusOr<std::vector<sock_filter>> program = CompileFilter(**filter, 65'535);
  if (!program.ok()) return std::string(program.status().message());
  absl::StatusOr<PacketSocket> socket = PacketSocket::Open(interface, *program);
  if (!socket.ok()) return std::string(socket.status().message());
  Send(Frames());
  std::string records;
  // What is sent into a veth is at its other end when sendto returns, or a moment later.
  pollfd ready = {.fd = socket->fd(), .events = POLLIN};
  while (::poll(&ready, 1, 50) == 1) {
    absl::StatusOr<bool> more = socket->Append(65'535, &records);
    if (!more.ok()) return std::string(more.status().message());
  }
  EXPECT_EQ(socket->TakeDropped(), 0u);
  return NamesIn(records, socket->link() == LinkType::kLinuxSll2 ? 20 : 0);
}

struct Case {
  const char* filter;
  const char* taken;
};

constexpr Case kCases[] = {
    {"",
     "tcp80 tcp80back tcp443 tcp80options udp53 udp53fragment udp53first sctp icmp gre arp tcp6 udp6 icmp6 short4 "
     "lldp"},
    {"ip", "tcp80 tcp80back tcp443 tcp80options udp53 udp53fragment udp53first sctp icmp gre short4"},
    {"ip6", "tcp6 udp6 icmp6"},
    {"arp", "arp"},
    {"tcp", "tcp80 tcp80back tcp443 tcp80options tcp6"},
    {"udp", "udp53 udp53fragment udp53first udp6"},
    {"sctp", "sctp"},
    {"icmp", "icmp"},
    {"icmp6", "icmp6"},
    {"proto 47", "gre"},
    {"ip proto 6", "tcp80 tcp80back tcp443 tcp80options"},
    {"ip6 proto 6", "tcp6"},
    {"port 80", "tcp80 tcp80back tcp80options tcp6"},
    {"src port 80", "tcp80back"},
    {"tcp dst port 80", "tcp80 tcp80options tcp6"},
    {"udp port 53", "udp53 udp53first"},
    {"tcp port 53", ""},
    {"portrange 400-600", "tcp443 udp6"},
    {"portrange 0-65535", "tcp80 tcp80back tcp443 tcp80options udp53 udp53first sctp tcp6 udp6"},
    {"host 10.0.0.7", "arp"},
    {"ip host 10.0.0.7", ""},
    {"src host 10.0.0.2", "tcp80back"},
    {"dst net 192.0.2.0/24", "tcp443"},
    {"net 0.0.0.0/0 and tcp", "tcp80 tcp80back tcp443 tcp80options"},
    {"host 2001:db8:1::2", "tcp6"},
    {"src net 2001:db8::/47", "tcp6 udp6"},
    {"net 2001:db8::/33 and not tcp", "udp6"},
    {"tcp and not port 80", "tcp443"},
    {"not tcp and not udp and ! ip", "arp icmp6 lldp"},
    {"arp or icmp or icmp6", "icmp arp icmp6"},
    {"(tcp or udp) and (port 443 or port 547)", "tcp443 udp6"},
    {"not (ip or ip6)", "arp lldp"},
    {"not not arp", "arp"},
    {"tcp && ! (dst port 80 || src port 80)", "tcp443"},
};

TEST(PacketFilter, TakesWhatItSays) {
  WithVeth([] {
    for (const Case& one : kCases) EXPECT_EQ(Captured("in", one.filter), one.taken) << one.filter;
  });
}

TEST(PacketFilter, IsTheSameWithoutLinkHeaders) {
  WithVeth([] {
    for (const Case& one : kCases) {
      // Both ends are heard: as it leaves, and as it arrives.
      std::string twice = Captured("any", one.filter);
      std::vector<std::string> expected;
      if (*one.taken != '\0') expected = {one.taken, one.taken};
      std::vector<std::string> seen = absl::StrSplit(twice, ' ', absl::SkipEmpty());
      std::vector<std::string> wanted = absl::StrSplit(absl::StrJoin(expected, " "), ' ', absl::SkipEmpty());
      EXPECT_THAT(seen, testing::UnorderedElementsAreArray(wanted)) << one.filter;
    }
  });
}

TEST(PacketFilter, KeepsTheBeginningOfPackets) {
  WithVeth([] {
    auto program = CompileFilter(*EtherType(0x88cc), 20);
    absl::StatusOr<PacketSocket> socket = PacketSocket::Open("in", *program);
    ASSERT_TRUE(socket.ok()) << socket.status();
    Send(Frames());
    std::string records;
    pollfd ready = {.fd = socket->fd(), .events = POLLIN};
    ASSERT_EQ(::poll(&ready, 1, 1000), 1);
    ASSERT_TRUE(*socket->Append(20, &records));
    uint32_t sizes[2];
    std::memcpy(sizes, records.data() + 8, sizeof sizes);
    EXPECT_EQ(sizes[0], 20u);
    EXPECT_EQ(sizes[1], 60u);
    EXPECT_EQ(records.size(), kPcapRecordSize + 20);
  });
}

// The kernel takes a tag out of the frame before anybody sees it, so a filter looks past it; the file has it again.
TEST(PacketFilter, VlanTagsAreLookedPastAndKept) {
  WithVeth([] {
    std::string frame = Ip4({}, Segment(40000, 80));
    frame.insert(12, Hex("81002007"));
    auto program = CompileFilter(**ParseFilter("tcp dst port 80"), 65'535);
    absl::StatusOr<PacketSocket> socket = PacketSocket::Open("in", *program);
    ASSERT_TRUE(socket.ok()) << socket.status();
    Send({{"tagged", frame}});
    std::string records;
    pollfd ready = {.fd = socket->fd(), .events = POLLIN};
    ASSERT_EQ(::poll(&ready, 1, 1000), 1);
    ASSERT_TRUE(*socket->Append(65'535, &records));
    EXPECT_EQ(absl::BytesToHexString(records.substr(kPcapRecordSize)), absl::BytesToHexString(frame));
    uint32_t sizes[2];
    std::memcpy(sizes, records.data() + 8, sizeof sizes);
    EXPECT_EQ(sizes[0], frame.size());
    EXPECT_EQ(sizes[1], frame.size());
  });
}

TEST(PacketFilter, LargeOnesJumpFar) {
  std::vector<std::string> hosts;
  for (int i = 0; i < 50; ++i) hosts.push_back(absl::StrCat("host 10.9.0.", i));
  std::string text = absl::StrCat("not (", absl::StrJoin(hosts, " or "), ") and arp");
  ASSERT_LE(text.size(), kMaxFilterText);
  WithVeth([&] { EXPECT_EQ(Captured("in", text), "arp"); });
  std::string ports = "port 1";
  while (ports.size() < 985) ports += " or port 1";
  absl::StatusOr<FilterPtr> filter = ParseFilter(ports);
  ASSERT_TRUE(filter.ok());
  EXPECT_TRUE(absl::IsResourceExhausted(CompileFilter(**filter, 100).status()));
}

TEST(ParseFilter, SaysWhereItIsWrong) {
  constexpr Case kWrong[] = {
      {"foo", "filter, column 1: 'foo': expected ip, ip6"},
      {"tcp port", "filter, column 9: the end: expected a port's number"},
      {"tcp port http", "filter, column 10: 'http': expected a port's number"},
      {"port 65536", "column 6: '65536'"},
      {"port -1", "column 6: '-1'"},
      {"arp port 1", "column 5: 'port': arp has no ports"},
      {"portrange 9-1", "expected two ports"},
      {"portrange 9", "expected two ports"},
      {"host far.lab", "column 6: 'far.lab': expected an address"},
      {"host 10.0.0.0/8", "say net"},
      {"net 10.0.0.1/8", "expected 10.0.0.0/8"},
      {"net 10.0.0.0/33", "expected a network"},
      {"src", "column 4: the end: expected host, net, port or portrange"},
      {"proto 256", "expected an IP protocol's number"},
      {"tcp proto 6", "proto goes with ip and ip6 only"},
      {"tcp udp", "column 5: 'udp': expected and, or, or the end"},
      {"tcp or udp and arp", "column 12: 'and': and and or together need parentheses"},
      {"(tcp", "column 5: the end: expected )"},
      {"tcp)", "column 4: ')': expected and, or, or the end"},
      {"tcp and", "column 8: the end"},
      {"not", "column 4: the end"},
      {"()", "column 2: ')'"},
  };
  for (const Case& one : kWrong) {
    absl::StatusOr<FilterPtr> filter = ParseFilter(one.filter);
    ASSERT_TRUE(absl::IsInvalidArgument(filter.status())) << one.filter;
    EXPECT_THAT(std::string(filter.status().message()), HasSubstr(one.taken)) << one.filter;
  }
  EXPECT_THAT(std::string(ParseFilter(std::string(999, '(')).status().message()), HasSubstr("nested too deeply"));
  EXPECT_THAT(std::string(ParseFilter(std::string(999, '!')).status().message()), HasSubstr("nested too deeply"));
  EXPECT_TRUE(absl::IsInvalidArgument(ParseFilter(std::string(1001, ' ')).status()));
}

}  // namespace
}  // namespace stele::machined
