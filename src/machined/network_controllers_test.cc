// The controllers of the network against a real kernel: a fresh user, network and UTS namespace with
// a veth pair, and a directory for what would be /etc and /run.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "machined/dhcp_controller.h"
#include "machined/hostname_controller.h"
#include "machined/network_config_controller.h"
#include "machined/network_controller.h"
#include "machined/network_status_controller.h"
#include "machined/resolver_controller.h"
#include "machined/runtime.h"
#include "machined/time_controller.h"

namespace stele::machined {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;

// Runs `body` in a child of its own namespaces; its failures fail the test.
void InNamespaces(const std::function<void()>& body) {
  uid_t uid = ::getuid();
  gid_t gid = ::getgid();
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWUTS) < 0) ::_exit(77);
    WriteControlFile("/proc/self/uid_map", absl::StrCat("0 ", uid, " 1")).IgnoreError();
    WriteControlFile("/proc/self/setgroups", "deny").IgnoreError();  // needed before an unprivileged gid_map
    WriteControlFile("/proc/self/gid_map", absl::StrCat("0 ", gid, " 1")).IgnoreError();
    body();
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "needs user and network namespaces";
  EXPECT_EQ(status, 0) << "see the child's messages above";
}

void MakeVeth(const std::string& name, const std::string& peer) {
  absl::StatusOr<NetlinkSocket> socket = NetlinkSocket::Open();
  ASSERT_TRUE(socket.ok());
  auto attribute = [](uint16_t type, absl::string_view value) {
    NetlinkMessage nested(0, 0, ifinfomsg{});
    nested.AddBytes(type, value);
    return std::string(nested.Finish(0, 0).substr(sizeof(nlmsghdr) + sizeof(ifinfomsg)));
  };
  std::string peer_info(sizeof(ifinfomsg), '\0');
  peer_info += attribute(IFLA_IFNAME, absl::StrCat(peer, absl::string_view("\0", 1)));
  std::string info =
      attribute(IFLA_INFO_KIND, "veth") + attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer_info));
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  message.AddString(IFLA_IFNAME, name);
  message.AddBytes(IFLA_LINKINFO, info);
  absl::Status status = socket->Request(message);
  ASSERT_TRUE(status.ok()) << status;
}

// machined's network part, with its files below a directory of the test.
class Network {
 public:
  Network() {
    char name[] = "/tmp/stele-network-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  void Start() {
    std::vector<std::unique_ptr<Controller>> all;
    all.push_back(std::make_unique<NetworkStatusController>());
    all.push_back(std::make_unique<NetworkConfigController>());
    DhcpPaths paths;
    paths.socket = directory_ + "/dhcp.sock";
    paths.leases = directory_ + "/dhcp";
    paths.client_uid = 0;
    all.push_back(std::make_unique<DhcpController>(paths));
    all.push_back(std::make_unique<NetworkController>());
    all.push_back(std::make_unique<ResolverController>(directory_ + "/resolv.conf"));
    all.push_back(std::make_unique<HostnameController>(directory_ + "/hosts"));
    all.push_back(std::make_unique<TimeController>());
    runtime_->StartControllers(std::move(all));
  }
  void Configure(const char* text) {
    auto config = std::make_shared<config::v1::MachineConfig>();
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, config.get()));
    runtime_->SetConfig(config);
  }
  // Turns the owner loop until `done` holds, at most five seconds.
  bool RunUntil(const std::function<bool()>& done) {
    absl::Time end = absl::Now() + absl::Seconds(5);
    while (!done()) {
      if (absl::Now() > end) return false;
      EXPECT_TRUE(loop_->events().RunOnce(10).ok());
    }
    return true;
  }
  // A machined that was killed and came back: nothing is left but files and the kernel.
  void Restart() {
    runtime_.reset();
    store_ = std::make_unique<Store>();
    loop_ = *OwnerLoop::Create();
    runtime_ = std::make_unique<Runtime>(*loop_, *store_, events_);
    Start();
  }
  void Report(const std::string& text) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::string path = directory_ + "/dhcp.sock";
    path.copy(address.sun_path, path.size());
    ASSERT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(::send(fd.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  bool HasAddress(const std::string& id) { return store_->Find<resource::v1::Address>(id) != nullptr; }
  const resource::v1::Route* Route(const std::string& id) { return store_->Find<resource::v1::Route>(id); }
  std::string File(const std::string& name) { return ReadFile(absl::StrCat(directory_, "/", name)).value_or(""); }
  Store& store() { return *store_; }

 private:
  std::string directory_;
  std::unique_ptr<OwnerLoop> loop_ = *OwnerLoop::Create();
  std::unique_ptr<Store> store_ = std::make_unique<Store>();
  EventLog events_{"/nonexistent/events"};
  std::unique_ptr<Runtime> runtime_ = std::make_unique<Runtime>(*loop_, *store_, events_);
};

constexpr char kStatic[] = R"(network { hostname: "n1.example.test" nameservers: "192.0.2.53" search: "example.test"
  interfaces { name: "eth0" mtu: 1400 addresses: "192.0.2.10/24" routes { to: "default" via: "192.0.2.1" } }
  interfaces { name: "eth1" } })";

constexpr char kBound[] =
    "interface=eth0\nreason=BOUND\nnew_ip_address=192.0.2.50\nnew_subnet_cidr=24\nnew_routers=192.0.2.1\n"
    "new_domain_name_servers=192.0.2.1\nnew_host_name=leased\nnew_dhcp_lease_time=3600\n"
    "new_dhcp_server_identifier=192.0.2.1\nnew_ntp_servers=192.0.2.9\n";
constexpr char kDhcp[] = R"(network { interfaces { name: "eth0" dhcp: true } interfaces { name: "eth1" } })";

TEST(NetworkControllers, StaticConfigurationReachesTheKernel) {
  InNamespaces([] {
    MakeVeth("eth0", "eth1");
    Network network;
    network.Start();
    network.Configure(kStatic);
    EXPECT_TRUE(network.RunUntil([&] {
      return network.HasAddress("eth0/192.0.2.10/24") && network.Route("default/1024/eth0") != nullptr &&
             network.HasAddress("lo/127.0.0.1/8");
    }));
    const resource::v1::Link* link = network.store().Find<resource::v1::Link>("eth0");
    ASSERT_NE(link, nullptr);
    EXPECT_EQ(link->mtu(), 1400u);
    EXPECT_EQ(link->operational_state(), "up");
    EXPECT_EQ(link->kind(), "veth");
    ASSERT_NE(network.Route("default/1024/eth0"), nullptr);
    EXPECT_EQ(network.Route("default/1024/eth0")->gateway(), "192.0.2.1");
    EXPECT_EQ(network.Route("default/1024/eth0")->protocol(), "stele");
    EXPECT_THAT(network.File("resolv.conf"), HasSubstr("nameserver 192.0.2.53\nsearch example.test\n"));
    EXPECT_THAT(network.File("hosts"), HasSubstr("127.0.1.1 n1.example.test n1\n"));
    char name[65];
    ASSERT_EQ(::gethostname(name, sizeof(name)), 0);
    EXPECT_STREQ(name, "n1");
  });
}

TEST(NetworkControllers, WhatSomebodyElseMadeStays) {
  InNamespaces([] {
    MakeVeth("eth0", "eth1");
    MakeVeth("cni0", "veth0");
    NetworkKernel kernel = *NetworkKernel::Open();
    std::map<std::string, uint32_t> index;
    std::vector<KernelLink> links = *kernel.Links();
    for (const KernelLink& link : links) index[link.name] = link.index;
    // CNI's address, with no mark, and its route with the protocol "boot".
    ifaddrmsg info = {AF_INET, 24, 0, 0, index["cni0"]};
    NetlinkMessage add(RTM_NEWADDR, NLM_F_CREATE, info);
    add.AddBytes(IFA_LOCAL, *ParseIpAddress("10.88.0.1"));
    ASSERT_TRUE(NetlinkSocket::Open()->Request(add).ok());
    ASSERT_TRUE(kernel.SetLink(index["cni0"], true, 0).ok());
    ASSERT_TRUE(kernel.SetLink(index["veth0"], true, 0).ok());
    ASSERT_TRUE(
        kernel
            .AddRoute({*ParseIpPrefix("10.244.0.0/16"), *ParseIpAddress("10.88.0.2"), index["cni0"], 0, RTPROT_BOOT},
                      false)
            .ok());

    Network network;
    network.Start();
    network.Configure(kStatic);
    EXPECT_TRUE(network.RunUntil([&] { return network.HasAddress("eth0/192.0.2.10/24"); }));
    // The interface leaves the configuration: ours goes, CNI's stays.
    network.Configure(R"(network { interfaces { name: "eth1" } })");
    EXPECT_TRUE(network.RunUntil([&] { return !network.HasAddress("eth0/192.0.2.10/24"); }));
    EXPECT_TRUE(network.RunUntil([&] { return network.Route("default/1024/eth0") == nullptr; }));
    EXPECT_TRUE(network.HasAddress("cni0/10.88.0.1/24"));
    EXPECT_NE(network.Route("10.244.0.0/16/0/cni0"), nullptr);
  });
}

TEST(NetworkControllers, WhatIsTakenAwayComesBack) {
  InNamespaces([] {
    MakeVeth("eth0", "eth1");
    Network network;
    network.Start();
    network.Configure(kStatic);
    auto complete = [&] {
      return network.HasAddress("eth0/192.0.2.10/24") && network.Route("default/1024/eth0") != nullptr;
    };
    ASSERT_TRUE(network.RunUntil(complete));
    NetworkKernel kernel = *NetworkKernel::Open();
    uint32_t index = network.store().Find<resource::v1::Link>("eth0")->index();
    ASSERT_TRUE(kernel.DeleteAddress(index, *ParseIpPrefix("192.0.2.10/24")).ok());
    ASSERT_TRUE(network.RunUntil([&] {
      std::vector<KernelRoute> routes = *kernel.Routes();
      return complete() && std::any_of(routes.begin(), routes.end(),
                                       [](const KernelRoute& route) { return route.protocol == kOurProtocol; });
    }));
  });
}

TEST(NetworkControllers, LeaseComesChangesAndGoes) {
  InNamespaces([] {
    MakeVeth("eth0", "eth1");
    Network network;
    network.Start();
    network.Configure(kDhcp);
    network.Report(kBound);
    EXPECT_TRUE(network.RunUntil([&] {
      const resource::v1::TimeStatus* clock = network.store().Find<resource::v1::TimeStatus>("clock");
      return network.HasAddress("eth0/192.0.2.50/24") && clock != nullptr && clock->servers_size() == 1 &&
             network.File("resolv.conf").find("nameserver 192.0.2.1\n") != std::string::npos;
    }));
    char name[65];
    ::gethostname(name, sizeof(name));
    EXPECT_STREQ(name, "leased");
    EXPECT_EQ(ReadFile("/proc/sys/net/ipv4/conf/eth0/promote_secondaries").value_or(""), "1\n");  // dhcpcd insists

    // Another server, another subnet.
    network.Report(
        "interface=eth0\nreason=BOUND\nnew_ip_address=198.51.100.7\nnew_subnet_cidr=24\nnew_routers=198.51.100.1\n"
        "new_dhcp_lease_time=3600\nnew_dhcp_server_identifier=198.51.100.1\n");
    EXPECT_TRUE(network.RunUntil(
        [&] { return network.HasAddress("eth0/198.51.100.7/24") && !network.HasAddress("eth0/192.0.2.50/24"); }));
    EXPECT_THAT(network.File("resolv.conf"), Not(HasSubstr("nameserver")));

    // The client is stopped: the lease stays. It expires: all goes.
    network.Report("interface=eth0\nreason=STOPPED\n");
    network.Report("interface=eth0\nreason=EXPIRE\n");
    EXPECT_TRUE(network.RunUntil([&] { return !network.HasAddress("eth0/198.51.100.7/24"); }));
    EXPECT_EQ(network.store().Find<resource::v1::DhcpLease>("eth0"), nullptr);
  });
}

TEST(NetworkControllers, ARestartTouchesNothing) {
  InNamespaces([] {
    MakeVeth("eth0", "eth1");
    Network network;
    network.Start();
    network.Configure(kDhcp);
    network.Report(kBound);
    ASSERT_TRUE(network.RunUntil([&] { return network.HasAddress("eth0/192.0.2.50/24"); }));
    // From here on every change of an address is heard.
    NetlinkSocket changes = *NetlinkSocket::Open(RTMGRP_IPV4_IFADDR);
    network.Restart();
    EXPECT_TRUE(network.RunUntil([&] { return network.store().Find<resource::v1::DhcpLease>("eth0") != nullptr; }));
    network.Configure(kDhcp);
    absl::Time start = absl::Now();
    EXPECT_TRUE(network.RunUntil([&] { return absl::Now() > start + absl::Milliseconds(300); }));
    EXPECT_TRUE(network.HasAddress("eth0/192.0.2.50/24"));
    int heard = 0;
    EXPECT_TRUE(changes.Receive([&](const NetlinkReply&) { ++heard; }).ok());
    EXPECT_EQ(heard, 0);
  });
}

TEST(NetworkControllers, ALeaseWithoutAWordEnds) {
  InNamespaces([] {
    MakeVeth("eth0", "eth1");
    Network network;
    network.Start();
    network.Configure(kDhcp);
    std::string brief = kBound;
    brief.replace(brief.find("3600"), 4, "1");
    network.Report(brief);
    ASSERT_TRUE(network.RunUntil([&] { return network.HasAddress("eth0/192.0.2.50/24"); }));
    EXPECT_FALSE(network.RunUntil([&] { return !network.HasAddress("eth0/192.0.2.50/24"); }));  // the grace
    EXPECT_TRUE(network.RunUntil([&] { return !network.HasAddress("eth0/192.0.2.50/24"); }));
  });
}

}  // namespace
}  // namespace stele::machined
