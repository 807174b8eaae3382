#include "machined/network_plan.h"

#include <gtest/gtest.h>

namespace stele::machined {
namespace {

IpPrefix Prefix(absl::string_view text) { return *ParseIpPrefix(text); }
std::string Ip(absl::string_view text) { return *ParseIpAddress(text); }

const std::vector<KernelLink> kLinks = {{1, "lo", "loopback", "unknown", true, true, 65536, ""},
                                        {2, "eth0", "ether", "up", true, true, 1500, ""},
                                        {3, "eth1", "ether", "down", false, false, 1500, ""}};

TEST(PlanLinks, OnlyDifferences) {
  WantedNetwork wanted;
  wanted.links = {{"lo", true, 0}, {"eth0", true, 9000}, {"eth1", true, 0}, {"absent", true, 0}};
  std::vector<LinkChange> changes = PlanLinks(wanted, kLinks);
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].link, 2u);
  EXPECT_EQ(changes[0].mtu, 9000u);
  EXPECT_EQ(changes[1].link, 3u);
  EXPECT_EQ(changes[1].mtu, 0u);
}

TEST(PlanAddresses, TakesAwayOnlyOurs) {
  WantedNetwork wanted;
  wanted.addresses = {{"eth0", Prefix("192.0.2.10/24")},
                      {"eth0", Prefix("192.0.2.10/24")},
                      {"eth0", Prefix("192.0.2.7/24")},
                      {"absent", Prefix("192.0.2.11/24")}};
  std::vector<KernelAddress> kernel = {{1, Prefix("127.0.0.1/8"), 254, false},
                                       {2, Prefix("192.0.2.7/24"), 0, false},  // somebody's, and wanted
                                       {2, Prefix("192.0.2.8/24"), 0, false},  // somebody's
                                       {2, Prefix("192.0.2.9/24"), 0, true}};  // ours, no longer wanted
  AddressChanges changes = PlanAddresses(wanted, kLinks, kernel);
  ASSERT_EQ(changes.remove.size(), 1u);
  EXPECT_EQ(FormatIpPrefix(changes.remove[0].prefix), "192.0.2.9/24");
  ASSERT_EQ(changes.add.size(), 1u);
  EXPECT_EQ(FormatIpPrefix(changes.add[0].prefix), "192.0.2.10/24");
}

TEST(PlanRoutes, GatewayChangeRemovesBeforeItAdds) {
  WantedNetwork wanted;
  wanted.addresses = {{"eth0", Prefix("192.0.2.10/24")}};
  wanted.routes = {{"eth0", Prefix("0.0.0.0/0"), Ip("192.0.2.2"), 1024}};
  std::vector<KernelRoute> kernel = {{Prefix("0.0.0.0/0"), Ip("192.0.2.1"), 2, 1024, kOurProtocol},
                                     {Prefix("10.244.0.0/16"), Ip("192.0.2.3"), 2, 0, 3},  // CNI's
                                     {Prefix("192.0.2.0/24"), "", 2, 0, 2}};               // the kernel's
  RouteChanges changes = PlanRoutes(wanted, kLinks, kernel);
  ASSERT_EQ(changes.remove.size(), 1u);
  EXPECT_EQ(changes.remove[0].gateway, Ip("192.0.2.1"));
  ASSERT_EQ(changes.add.size(), 1u);
  EXPECT_EQ(changes.add[0].route.gateway, Ip("192.0.2.2"));
  EXPECT_FALSE(changes.add[0].on_link);
}

TEST(PlanRoutes, GatewayOutsideEverySubnetIsOnLink) {
  WantedNetwork wanted;
  wanted.addresses = {{"eth0", Prefix("192.0.2.10/32")}};
  wanted.routes = {{"eth0", Prefix("0.0.0.0/0"), Ip("192.0.2.1"), 1024}};
  EXPECT_TRUE(PlanRoutes(wanted, kLinks, {}).add[0].on_link);
  // A direct route to the gateway makes it a neighbour, and comes first.
  wanted.routes.push_back({"eth0", Prefix("192.0.2.1/32"), "", 1024});
  RouteChanges changes = PlanRoutes(wanted, kLinks, {});
  ASSERT_EQ(changes.add.size(), 2u);
  EXPECT_TRUE(changes.add[0].route.gateway.empty());
  EXPECT_FALSE(changes.add[1].on_link);
}

TEST(PlanRoutes, TheFirstOfTwoWins) {
  WantedNetwork wanted;
  wanted.routes = {{"eth0", Prefix("10.0.0.0/8"), Ip("192.0.2.1"), 5},
                   {"eth0", Prefix("10.0.0.0/8"), Ip("192.0.2.2"), 5}};
  RouteChanges changes = PlanRoutes(wanted, kLinks, {});
  ASSERT_EQ(changes.add.size(), 1u);
  EXPECT_EQ(changes.add[0].route.gateway, Ip("192.0.2.1"));
}

TEST(PlanRoutes, ALinkThatIsDownWaits) {
  WantedNetwork wanted;
  wanted.routes = {{"eth1", Prefix("10.0.0.0/8"), Ip("192.0.2.1"), 5}};
  EXPECT_TRUE(PlanRoutes(wanted, kLinks, {}).add.empty());
}

TEST(PlanRoutes, NothingToDoIsNothing) {
  WantedNetwork wanted;
  wanted.addresses = {{"eth0", Prefix("192.0.2.10/24")}};
  wanted.routes = {{"eth0", Prefix("10.1.2.3/8"), Ip("192.0.2.2"), 5}};
  RouteChanges changes = PlanRoutes(wanted, kLinks, {{Prefix("10.0.0.0/8"), Ip("192.0.2.2"), 2, 5, kOurProtocol}});
  EXPECT_TRUE(changes.add.empty());
  EXPECT_TRUE(changes.remove.empty());
}

}  // namespace
}  // namespace stele::machined
