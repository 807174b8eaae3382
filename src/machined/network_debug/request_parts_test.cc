// What requests and the node's files are made of: addresses, URLs, status lines, resolv.conf, hosts.
#include <gmock/gmock.h>

#include "machined/network_debug/connection_probe.h"
#include "machined/network_debug/request_bounds.h"
#include "machined/network_debug/resolver_files.h"
#include "machined/network_debug/socket_address.h"
#include "machined/proto_time.h"

namespace stele::machined {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ParseAddress, TakesLiteralsOnly) {
  EXPECT_EQ(ParseAddress("192.0.2.1", 53)->TextWithPort(), "192.0.2.1:53");
  EXPECT_EQ(ParseAddress("2001:DB8::1", 53)->TextWithPort(), "[2001:db8::1]:53");
  EXPECT_EQ(ParseAddress("fe80::1%lo", 0)->Text(), "fe80::1%lo");
  EXPECT_TRUE(absl::IsNotFound(ParseAddress("fe80::1%none", 0).status()));
  for (const char* bad : {"", "localhost", "192.0.2.1.", "192.0.2.1%lo", "1", "::1]", "0x7f.1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseAddress(bad, 0).status())) << bad;
  }
}

TEST(ParseHostPort, KnowsBrackets) {
  EXPECT_EQ(ParseHostPort("a:1", 0)->host, "a");
  EXPECT_EQ(ParseHostPort("[::1]:65535", 0)->port, 65535);
  EXPECT_EQ(ParseHostPort("[::1]", 53)->port, 53);
  EXPECT_EQ(ParseHostPort("::1", 53)->host, "::1");
  for (const char* bad : {"", "a", ":1", "a:", "a:0", "a:65536", "a:1x", "[::1", "[::1]1", "[]:1", "::1"}) {
    EXPECT_FALSE(ParseHostPort(bad, 0).ok()) << bad;
  }
}

TEST(ParseWebUrl, TakesApartAndRefuses) {
  absl::StatusOr<WebTarget> target = ParseWebUrl("https://far.lab:8443/a?b#c");
  ASSERT_TRUE(target.ok());
  EXPECT_TRUE(target->tls);
  EXPECT_EQ(target->authority, "far.lab:8443");
  EXPECT_EQ(target->where.port, 8443);
  EXPECT_EQ(target->path, "/a?b");
  EXPECT_EQ(ParseWebUrl("http://far.lab?q")->path, "/?q");
  EXPECT_EQ(ParseWebUrl("http://[::1]")->where.host, "::1");
  EXPECT_EQ(ParseWebUrl("https://a")->where.port, 443);
  for (const char* bad : {"", "far.lab", "ftp://a", "http://", "http:///x", "http://u:p@a/", "http://a b/",
                          "http://a:x/", "http://a/\r\nHost: b"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseWebUrl(bad).status())) << bad;
  }
  EXPECT_FALSE(ParseWebUrl("http://a/" + std::string(2048, 'x')).ok());
}

TEST(StatusLine, IsWholeOrNone) {
  EXPECT_EQ(**StatusLine("HTTP/1.1 200 OK\r\nX: y"), "HTTP/1.1 200 OK");
  EXPECT_EQ(**StatusLine("HTTP/1.1 200 \x1b[2J\n"), "HTTP/1.1 200 ?[2J");
  for (const char* part : {"", "HT", "HTTP/1.1 200 OK"}) EXPECT_FALSE(StatusLine(part)->has_value()) << part;
  EXPECT_FALSE(StatusLine("SSH-2.0-x\r\n").ok());
  EXPECT_FALSE(StatusLine("HTTP/" + std::string(600, 'x')).ok());
}

TEST(ParseResolvConf, ReadsWhatGlibcReads) {
  Resolver resolver = ParseResolvConf(
      "# comment\nnameserver 10.0.0.1\nnameserver bad\nnameserver ::1 # x\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n"
      "domain old\nsearch a.example. b.example\noptions rotate ndots:2\n");
  ASSERT_EQ(resolver.servers.size(), 3u);
  EXPECT_EQ(resolver.servers[1].TextWithPort(), "[::1]:53");
  EXPECT_THAT(resolver.search, ElementsAre("a.example.", "b.example"));
  EXPECT_EQ(resolver.dots, 2u);
  EXPECT_THAT(CandidatesOf("x.y", resolver), ElementsAre("x.y.a.example", "x.y.b.example", "x.y"));
  EXPECT_THAT(CandidatesOf("x.y.z", resolver), ElementsAre("x.y.z", "x.y.z.a.example", "x.y.z.b.example"));
  EXPECT_THAT(CandidatesOf("x.", resolver), ElementsAre("x"));
  EXPECT_THAT(ParseResolvConf("").servers, IsEmpty());
}

TEST(Hosts, AreFoundBothWays) {
  constexpr char kHosts[] = "127.0.0.1 localhost\n::1 localhost ip6-localhost\nbad name\n10.0.0.1 a.lab a # b\n";
  auto texts = [](const std::vector<SocketAddress>& addresses) {
    std::vector<std::string> all;
    for (const SocketAddress& address : addresses) all.push_back(address.Text());
    return all;
  };
  EXPECT_THAT(texts(HostsAddresses(kHosts, "LOCALHOST.")), ElementsAre("127.0.0.1", "::1"));
  EXPECT_THAT(texts(HostsAddresses(kHosts, "b")), IsEmpty());
  EXPECT_THAT(HostsNames(kHosts, *ParseAddress("10.0.0.1", 0)), ElementsAre("a.lab", "a"));
}

TEST(Bounded, FillsInAndRefuses) {
  constexpr DurationBounds kBounds = {"interval", absl::Milliseconds(100), absl::Minutes(1), absl::Seconds(1)};
  google::protobuf::Duration duration;
  EXPECT_EQ(*Bounded(false, duration, kBounds), absl::Seconds(1));
  SetDuration(absl::Milliseconds(1500), &duration);
  EXPECT_EQ(*Bounded(true, duration, kBounds), absl::Milliseconds(1500));
  for (auto [seconds, nanos] : std::vector<std::pair<int64_t, int32_t>>{
           {0, 0}, {0, 99'999'999}, {60, 1}, {-1, 0}, {INT64_MAX, INT32_MAX}, {INT64_MIN, INT32_MIN}}) {
    duration.set_seconds(seconds);
    duration.set_nanos(nanos);
    EXPECT_TRUE(absl::IsInvalidArgument(Bounded(true, duration, kBounds).status())) << seconds << " " << nanos;
  }
}

}  // namespace
}  // namespace stele::machined
