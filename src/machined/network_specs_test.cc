#include "machined/network_specs.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>

namespace stele::machined {
namespace {

using ::testing::ElementsAre;
using ::testing::Key;

config::v1::NetworkConfig Config(const char* text) {
  config::v1::NetworkConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config));
  return config;
}

resource::v1::DhcpLease Lease(const char* text) {
  resource::v1::DhcpLease lease;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &lease));
  return lease;
}

const std::vector<LinkFacts> kLinks = {{"cni0", 9, "0a:00:00:00:00:09", false},
                                       {"eth0", 2, "52:54:00:12:34:56", true},
                                       {"eth1", 3, "52:54:00:12:34:57", true},
                                       {"lo", 1, "00:00:00:00:00:00", false}};

TEST(SpecsOfConfig, WithoutInterfacesEveryPhysicalLinkAsksDhcp) {
  NetworkSpecs specs = SpecsOfConfig(Config(""), kLinks);
  EXPECT_THAT(specs.links, ElementsAre(Key("eth0"), Key("eth1"), Key("lo")));
  EXPECT_TRUE(specs.links["eth0"].dhcp4());
  EXPECT_FALSE(specs.links["lo"].dhcp4());
  EXPECT_EQ(specs.hostnames[kLayerDefault].hostname(), "stele-525400123456");
  EXPECT_TRUE(specs.resolvers.empty());
}

TEST(SpecsOfConfig, OneNamedInterfaceIsAllThereIs) {
  NetworkSpecs specs = SpecsOfConfig(Config(R"(hostname: "n1"
      interfaces { name: "eth1" mtu: 9000 addresses: "192.0.2.10/24" addresses: "2001:db8::1/64"
        routes { to: "default" via: "192.0.2.1" } routes { to: "10.0.0.0/8" via: "192.0.2.2" metric: 5 } }
      nameservers: "192.0.2.53")"),
                                     kLinks);
  EXPECT_THAT(specs.links, ElementsAre(Key("eth1"), Key("lo")));
  EXPECT_EQ(specs.links["eth1"].mtu(), 9000u);
  EXPECT_FALSE(specs.links["eth1"].dhcp4());
  EXPECT_THAT(specs.addresses, ElementsAre(Key("config/eth1/192.0.2.10/24"), Key("config/eth1/2001:db8::1/64")));
  EXPECT_THAT(specs.routes, ElementsAre(Key("config/10.0.0.0/8/5/eth1"), Key("config/default/1024/eth1")));
  EXPECT_THAT(specs.resolvers[kLayerConfig].servers(), ElementsAre("192.0.2.53"));
  EXPECT_EQ(specs.hostnames[kLayerConfig].hostname(), "n1");
}

TEST(SpecsOfConfig, NodeWithoutCardHasAName) {
  EXPECT_EQ(SpecsOfConfig(Config(""), {}).hostnames[kLayerDefault].hostname(), "stele");
}

TEST(SpecsOfLeases, TwoLinksDoNotQuarrel) {
  NetworkSpecs specs = SpecsOfLeases(
      {{"eth0", Lease(R"(address: "192.0.2.5/24" gateway: "192.0.2.1" servers: "192.0.2.53" hostname: "a")")},
       {"eth1", Lease(R"(address: "198.51.100.5/24" gateway: "198.51.100.1" servers: "192.0.2.53" hostname: "b")")}},
      {{"eth0", 2}, {"eth1", 3}});
  EXPECT_THAT(specs.routes, ElementsAre(Key("dhcp4/default/1026/eth0"), Key("dhcp4/default/1027/eth1")));
  EXPECT_THAT(specs.resolvers[kLayerDhcp4].servers(), ElementsAre("192.0.2.53"));
  EXPECT_EQ(specs.hostnames[kLayerDhcp4].hostname(), "a");
}

TEST(SpecsOfLeases, ClasslessRoutesReplaceTheRouter) {
  NetworkSpecs specs = SpecsOfLeases({{"eth0", Lease(R"(address: "192.0.2.5/32" gateway: "192.0.2.9"
      routes: "192.0.2.1/32 0.0.0.0" routes: "default 192.0.2.1")")}},
                                     {{"eth0", 2}});
  EXPECT_THAT(specs.routes, ElementsAre(Key("dhcp4/192.0.2.1/32/1026/eth0"), Key("dhcp4/default/1026/eth0")));
  EXPECT_EQ(specs.routes["dhcp4/192.0.2.1/32/1026/eth0"].gateway(), "");
  EXPECT_EQ(specs.routes["dhcp4/default/1026/eth0"].gateway(), "192.0.2.1");
}

}  // namespace
}  // namespace stele::machined
