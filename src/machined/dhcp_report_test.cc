#include "machined/dhcp_report.h"

#include <gmock/gmock.h>

namespace stele::machined {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// As dhcpcd 10.1 of Debian 13 tells it.
constexpr char kBound[] =
    "pid=25775\nreason=BOUND\ninterface=eth0\nprotocol=dhcp\nif_configured=false\nifcarrier=up\nifmetric=1002\n"
    "if_up=true\nif_down=false\nnew_ip_address=192.0.2.52\nnew_subnet_cidr=24\nnew_broadcast_address=192.0.2.255\n"
    "new_routers=192.0.2.1\nnew_domain_name_servers=192.0.2.1 192.0.2.2\nnew_host_name=fromdhcp\n"
    "new_domain_name=example.test\nnew_ntp_servers=192.0.2.9\nnew_dhcp_lease_time=20\nnew_dhcp_message_type=5\n"
    "new_dhcp_server_identifier=192.0.2.1\n";

absl::StatusOr<resource::v1::DhcpLease> LeaseWith(absl::string_view more) {
  absl::StatusOr<DhcpReport> report = ParseDhcpReport(absl::StrCat(kBound, more));
  if (!report.ok()) return report.status();
  return LeaseOf(*report);
}

TEST(DhcpReport, GivesTheLease) {
  absl::StatusOr<DhcpReport> report = ParseDhcpReport(kBound);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->interface, "eth0");
  EXPECT_EQ(LeaseChangeOf(*report), LeaseChange::kHave);
  absl::StatusOr<resource::v1::DhcpLease> lease = LeaseOf(*report);
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->address(), "192.0.2.52/24");
  EXPECT_EQ(lease->gateway(), "192.0.2.1");
  EXPECT_EQ(lease->server(), "192.0.2.1");
  EXPECT_EQ(lease->lease_time().seconds(), 20);
  EXPECT_EQ(lease->hostname(), "fromdhcp");
  EXPECT_THAT(lease->servers(), ElementsAre("192.0.2.1", "192.0.2.2"));
  EXPECT_THAT(lease->time_servers(), ElementsAre("192.0.2.9"));
  EXPECT_THAT(lease->search(), ElementsAre("example.test"));
}

TEST(DhcpReport, AServerCannotSmuggle) {
  EXPECT_THAT(LeaseWith("new_domain_name_servers=192.0.2.1;reboot fe80::1 x 192.0.2.7")->servers(),
              ElementsAre("192.0.2.7"));
  EXPECT_THAT(LeaseWith("new_domain_name=a/../b $(x) -a- ok.test")->search(), ElementsAre("ok.test"));
  EXPECT_EQ(LeaseWith("new_host_name=../../etc")->hostname(), "");
  EXPECT_EQ(LeaseWith("new_routers=not-an-address")->gateway(), "");
  EXPECT_FALSE(LeaseWith("new_ip_address=0.0.0.0/0\nnew_subnet_cidr=0").ok());
  EXPECT_FALSE(LeaseWith("new_ip_address=::1").ok());
  EXPECT_FALSE(LeaseWith("new_subnet_cidr=33").ok());
  EXPECT_FALSE(LeaseWith("new_dhcp_lease_time=4294967295")->has_lease_time());
}

TEST(DhcpReport, ClasslessRoutes) {
  EXPECT_THAT(LeaseWith("new_classless_static_routes=10.1.2.3/8 192.0.2.1 0.0.0.0/0 192.0.2.254")->routes(),
              ElementsAre("10.0.0.0/8 192.0.2.1", "default 192.0.2.254"));
  EXPECT_THAT(LeaseWith("new_classless_static_routes=10.0.0.0/8 192.0.2.1 nonsense 192.0.2.1")->routes(), IsEmpty());
}

TEST(DhcpReport, RefusesWhatIsNone) {
  EXPECT_FALSE(ParseDhcpReport("").ok());
  EXPECT_FALSE(ParseDhcpReport("reason=BOUND\n").ok());
  EXPECT_FALSE(ParseDhcpReport("interface=eth0\n").ok());
  EXPECT_FALSE(ParseDhcpReport("interface=../eth0\nreason=BOUND\n").ok());
  EXPECT_FALSE(ParseDhcpReport("interface=a-name-that-is-too-long\nreason=BOUND\n").ok());
  EXPECT_FALSE(ParseDhcpReport("interface=eth0\nreason=BOUND\nno value\n").ok());
  EXPECT_FALSE(ParseDhcpReport(absl::string_view("interface=eth0\nreason=BOUND\na=\0\n", 32)).ok());
  EXPECT_FALSE(ParseDhcpReport(std::string(kMaxDhcpReport + 1, 'a')).ok());
  std::string many = "interface=eth0\nreason=BOUND\n";
  for (int i = 0; i < 300; ++i) absl::StrAppend(&many, "v", i, "=\n");
  EXPECT_FALSE(ParseDhcpReport(many).ok());
}

TEST(DhcpReport, TheClientsEndIsNotTheLeases) {
  for (absl::string_view reason : {"PREINIT", "CARRIER", "NOCARRIER", "STOP", "STOPPED", "ROUTERADVERT"}) {
    EXPECT_EQ(LeaseChangeOf(*ParseDhcpReport(absl::StrCat("interface=eth0\nreason=", reason))), LeaseChange::kNone)
        << reason;
  }
  for (absl::string_view reason : {"EXPIRE", "NAK", "RELEASE"}) {
    EXPECT_EQ(LeaseChangeOf(*ParseDhcpReport(absl::StrCat("interface=eth0\nreason=", reason))), LeaseChange::kLost)
        << reason;
  }
}

}  // namespace
}  // namespace stele::machined
