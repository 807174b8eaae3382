#include "machined/ip_prefix.h"

#include <gtest/gtest.h>

namespace stele::machined {
namespace {

TEST(IpPrefix, ParsesAndFormatsCanonically) {
  EXPECT_EQ(FormatIpPrefix(*ParseIpPrefix("192.0.2.1/24")), "192.0.2.1/24");
  EXPECT_EQ(FormatIpPrefix(*ParseIpPrefix("192.0.2.1")), "192.0.2.1/32");
  EXPECT_EQ(FormatIpPrefix(*ParseIpPrefix("2001:0db8::0001/64")), "2001:db8::1/64");
  EXPECT_EQ(FormatIpPrefix(*ParseIpPrefix("0.0.0.0/0")), "0.0.0.0/0");
}

TEST(IpPrefix, RefusesWhatIsNone) {
  for (absl::string_view bad : {"", "/", "192.0.2.1/", "192.0.2.1/33", "192.0.2.1/-1", "192.0.2/24", "::1/129", "eth0",
                                "192.0.2.1/24/3", " 192.0.2.1/24"}) {
    EXPECT_EQ(ParseIpPrefix(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(ParseIpPrefix(absl::string_view("192.0.2.1\0/24", 13)).ok());
}

TEST(IpPrefix, ClearsHostBits) {
  EXPECT_EQ(FormatIpPrefix(NetworkOf(*ParseIpPrefix("192.0.2.129/25"))), "192.0.2.128/25");
  EXPECT_EQ(FormatIpPrefix(NetworkOf(*ParseIpPrefix("10.255.255.255/9"))), "10.128.0.0/9");
  EXPECT_EQ(FormatIpPrefix(NetworkOf(*ParseIpPrefix("2001:db8:ffff::1/33"))), "2001:db8:8000::/33");
  EXPECT_EQ(FormatIpPrefix(NetworkOf(*ParseIpPrefix("192.0.2.1/0"))), "0.0.0.0/0");
}

}  // namespace
}  // namespace stele::machined
