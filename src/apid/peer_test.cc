#include "apid/peer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>

namespace stele {
namespace {

sockaddr_storage Address(int family, const char* text, uint16_t port) {
  sockaddr_storage storage = {};
  storage.ss_family = static_cast<sa_family_t>(family);
  if (family == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    v4.sin_port = htons(port);
    EXPECT_EQ(::inet_pton(AF_INET, text, &v4.sin_addr), 1);
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    v6.sin6_port = htons(port);
    EXPECT_EQ(::inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
  }
  return storage;
}

TEST(PeerTest, Ipv4IsItsOwnSource) {
  Peer peer = PeerOf(Address(AF_INET, "192.0.2.7", 4242));
  EXPECT_EQ(peer.text, "192.0.2.7:4242");
  EXPECT_EQ(peer.source, "192.0.2.7");
  EXPECT_FALSE(peer.is_loopback);
}

TEST(PeerTest, AMappedAddressIsTheIpv4One) {
  Peer mapped = PeerOf(Address(AF_INET6, "::ffff:192.0.2.7", 4242));
  Peer plain = PeerOf(Address(AF_INET, "192.0.2.7", 4242));
  EXPECT_EQ(mapped.text, plain.text);
  EXPECT_EQ(mapped.source, plain.source);
}

TEST(PeerTest, Ipv6CountsBySixtyFour) {
  Peer one = PeerOf(Address(AF_INET6, "2001:db8:1:2:3::1", 1));
  Peer same_network = PeerOf(Address(AF_INET6, "2001:db8:1:2:ffff::2", 2));
  Peer other_network = PeerOf(Address(AF_INET6, "2001:db8:1:3:3::1", 1));
  EXPECT_EQ(one.text, "[2001:db8:1:2:3::1]:1");
  EXPECT_EQ(one.source, same_network.source);
  EXPECT_NE(one.source, other_network.source);
}

TEST(PeerTest, KnowsLoopback) {
  EXPECT_TRUE(PeerOf(Address(AF_INET, "127.0.0.2", 1)).is_loopback);
  EXPECT_TRUE(PeerOf(Address(AF_INET6, "::1", 1)).is_loopback);
  EXPECT_TRUE(PeerOf(Address(AF_INET6, "::ffff:127.0.0.1", 1)).is_loopback);
  EXPECT_FALSE(PeerOf(Address(AF_INET6, "::2", 1)).is_loopback);
  EXPECT_FALSE(PeerOf(Address(AF_INET, "128.0.0.1", 1)).is_loopback);
}

}  // namespace
}  // namespace stele
