// The whole way of a lease with real programs: Debian 13's dhcpcd and the applet dhcp-report on one end
// of a veth pair, Debian 13's udhcpd in a network namespace of its own on the other, and machined's
// controllers that bring the lease into the kernel. Needs root, and the packages from the cache or
// the network.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "machined/dhcp_controller.h"
#include "machined/network_config_controller.h"
#include "machined/network_controller.h"
#include "machined/network_status_controller.h"
#include "machined/runtime.h"

namespace stele::machined {
namespace {

// Our own folder of programs, beside the test.
std::string ProgramDirectory() {
  char path[4096] = {};
  if (::readlink("/proc/self/exe", path, sizeof(path) - 1) < 0) return "";
  return std::string(path).substr(0, std::string(path).rfind('/'));
}

// Debian 13's packages, unpacked in the cache: name → directory.
std::map<std::string, std::string> FetchPackages() {
  FILE* out = ::popen(
      "python3 -c 'import sys; sys.path.insert(0, \"image\"); import debian; t = debian.trixie(); "
      "[print(n, t.unpack(p)) for n, p in t.fetch([\"dhcpcd-base\", \"busybox\", \"libc6\", \"libssl3t64\", "
      "\"zlib1g\", \"libzstd1\"]).items()]' 2>/dev/null",
      "r");
  std::string text;
  char buffer[4096];
  while (size_t size = ::fread(buffer, 1, sizeof(buffer), out)) text.append(buffer, size);
  std::map<std::string, std::string> packages;
  if (::pclose(out) != 0) return packages;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    std::pair<std::string, std::string> parts = absl::StrSplit(line, ' ');
    if (parts.second.rfind('/', 0) == 0) packages[parts.first] = parts.second;
  }
  return packages;
}

void Shell(const std::string& command) { ASSERT_EQ(::system(command.c_str()), 0) << command; }

// A child that runs `prepare` and then a program; killed by the guard.
class Child {
 public:
  Child(std::vector<std::string> argv, const std::string& log, const std::function<void()>& prepare) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    ::dup2(fd, 1);
    ::dup2(fd, 2);
    prepare();
    std::vector<char*> words;
    for (std::string& word : argv) words.push_back(word.data());
    words.push_back(nullptr);
    char* environment[] = {const_cast<char*>("PATH=/usr/sbin:/usr/bin"), nullptr};
    ::execve(words[0], words.data(), environment);
    ::_exit(127);
  }
  ~Child() { Stop(); }
  void Stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

// udhcpd of one subnet. `net` is a process whose network namespace it enters.
std::unique_ptr<Child> Server(const std::vector<std::string>& loader, const std::string& busybox, pid_t net,
                              const std::string& subnet) {
  std::string config = absl::StrCat("/run/udhcpd-", subnet, ".conf");
  std::ofstream(config) << "start " << subnet << ".50\nend " << subnet
                        << ".60\ninterface s0\nmin_lease 5\nlease_file /run/leases-" << subnet
                        << "\nopt lease 10\nopt subnet 255.255.255.0\nopt router " << subnet << ".1\nopt dns " << subnet
                        << ".1\nopt ntpsrv " << subnet << ".9\nopt hostname fromdhcp\n";
  std::ofstream(absl::StrCat("/run/leases-", subnet)) << "";
  std::vector<std::string> argv = loader;
  for (const char* word : {busybox.c_str(), "udhcpd", "-f", config.c_str()}) argv.push_back(word);
  return std::make_unique<Child>(argv, "/run/udhcpd.log", [net] {
    UniqueFd ns(::open(absl::StrCat("/proc/", net, "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
    if (::setns(ns.get(), CLONE_NEWNET) < 0) ::_exit(126);
  });
}

void Body(std::map<std::string, std::string>& packages) {
  // A /run of our own: the applet's socket and dhcpcd's pid file have fixed places.
  ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  ASSERT_EQ(::mount("tmpfs", "/run", "tmpfs", 0, nullptr), 0);
  ASSERT_TRUE(MakeDirectories("/run/stele").ok());
  Shell(
      "mkdir -p /run/dhcpcd /run/bin && chown 902:902 /run/dhcpcd && chmod 755 /run /run/stele && "
      "cp " +
      ProgramDirectory() + "/applets /run/bin/dhcp-report && chmod 755 /run/bin/dhcp-report");
  std::string libraries;
  for (const char* package : {"libc6", "libssl3t64", "zlib1g", "libzstd1"}) {
    absl::StrAppend(&libraries, libraries.empty() ? "" : ":", packages[package], "/usr/lib/x86_64-linux-gnu");
  }
  std::vector<std::string> loader = {packages["libc6"] + "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
                                     "--library-path", libraries};
  std::string busybox = packages["busybox"] + "/usr/bin/busybox";

  Child net({"/bin/sleep", "1000"}, "/dev/null", [] {
    if (::unshare(CLONE_NEWNET) < 0) ::_exit(126);
  });
  absl::SleepFor(absl::Milliseconds(300));
  Shell(absl::StrCat("ip link add eth0 type veth peer name s0 && ip link set s0 netns ", net.pid()));
  std::string enter = absl::StrCat("nsenter -n -t ", net.pid(), " ip ");
  Shell(enter + "addr add 192.0.2.1/24 dev s0 && " + enter + "link set s0 up");

  std::unique_ptr<OwnerLoop> loop = *OwnerLoop::Create();
  Store store;
  EventLog events("/run/events");
  Runtime runtime(*loop, store, events);
  std::vector<std::unique_ptr<Controller>> all;
  all.push_back(std::make_unique<NetworkStatusController>());
  all.push_back(std::make_unique<NetworkConfigController>());
  all.push_back(std::make_unique<DhcpController>());
  all.push_back(std::make_unique<NetworkController>());
  runtime.StartControllers(std::move(all));
  auto config = std::make_shared<config::v1::MachineConfig>();
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(R"(network { interfaces { name: "eth0" dhcp: true } })",
                                                            config.get()));
  runtime.SetConfig(config);
  auto run_until = [&](absl::Duration limit, const std::function<bool()>& done) {
    for (absl::Time end = absl::Now() + limit; !done();) {
      if (absl::Now() > end) return false;
      EXPECT_TRUE(loop->events().RunOnce(50).ok());
    }
    return true;
  };
  auto address = [&](absl::string_view subnet) -> std::string {
    for (const auto& [id, found] : store.All<resource::v1::Address>()) {
      if (found.link() == "eth0" && found.address().rfind(std::string(subnet), 0) == 0) return found.address();
    }
    return "";
  };
  ASSERT_TRUE(run_until(absl::Seconds(5), [&] {
    return ReadFile("/proc/sys/net/ipv4/conf/eth0/promote_secondaries").value_or("") == "1\n";
  }));

  std::unique_ptr<Child> server = Server(loader, busybox, net.pid(), "192.0.2");
  // What services/dhcpcd.cc has, but for the places of the files; uid and capabilities by setpriv.
  std::ofstream("/run/dhcpcd.conf")
      << "ipv4only\nnoipv4ll\nclientid\noption domain_name_servers, host_name, ntp_servers\n"
         "require dhcp_server_identifier\nnodelay\nnoarp\nnodev\npersistent\n";
  std::vector<std::string> argv = {"/usr/bin/setpriv",
                                   "--reuid=902",
                                   "--regid=902",
                                   "--clear-groups",
                                   "--no-new-privs",
                                   "--inh-caps=-all,+net_raw,+net_bind_service",
                                   "--ambient-caps=-all,+net_raw,+net_bind_service",
                                   "--bounding-set=-all,+net_raw,+net_bind_service"};
  argv.insert(argv.end(), loader.begin(), loader.end());
  for (const std::string& word :
       {packages["dhcpcd-base"] + "/usr/sbin/dhcpcd", std::string("--ipv4only"), std::string("--nobackground"),
        std::string("--noconfigure"), std::string("--config"), std::string("/run/dhcpcd.conf"), std::string("--script"),
        std::string("/run/bin/dhcp-report"), std::string("--allowinterfaces"), std::string("eth0")}) {
    argv.push_back(word);
  }
  absl::Time start = absl::Now();
  Child client(argv, "/run/dhcpcd.log", [] {});
  ASSERT_TRUE(run_until(absl::Seconds(30), [&] { return !address("192.0.2.").empty(); }))
      << ReadFile("/run/dhcpcd.log").value_or("");
  fprintf(stderr, "lease in the kernel after %.2f s\n", absl::ToDoubleSeconds(absl::Now() - start));
  ASSERT_TRUE(run_until(absl::Seconds(5), [&] { return store.Find<resource::v1::DhcpLease>("eth0") != nullptr; }));
  resource::v1::DhcpLease first = *store.Find<resource::v1::DhcpLease>("eth0");
  EXPECT_EQ(first.server(), "192.0.2.1");
  EXPECT_EQ(first.gateway(), "192.0.2.1");
  EXPECT_EQ(first.hostname(), "fromdhcp");
  EXPECT_THAT(first.time_servers(), testing::ElementsAre("192.0.2.9"));
  EXPECT_TRUE(run_until(absl::Seconds(5), [&] {
    for (const auto& [id, route] : store.All<resource::v1::Route>()) {
      if (route.destination() == "default" && route.gateway() == "192.0.2.1" && route.protocol() == "stele")
        return true;
    }
    return false;
  }));
  Shell("ip addr show eth0; ip route; ping -c 1 -W 2 192.0.2.1 > /dev/null 2>&1 || true");

  // Renewed at half of its ten seconds, and not let go.
  EXPECT_TRUE(run_until(absl::Seconds(15), [&] {
    const auto* lease = store.Find<resource::v1::DhcpLease>("eth0");
    return lease != nullptr && lease->obtained().seconds() > first.obtained().seconds();
  })) << ReadFile("/run/dhcpcd.log").value_or("");
  EXPECT_NE(address("192.0.2."), "");

  // The server goes, another with another subnet comes.
  server->Stop();
  Shell(enter + "addr flush dev s0 && " + enter + "addr add 198.51.100.1/24 dev s0");
  std::unique_ptr<Child> other = Server(loader, busybox, net.pid(), "198.51.100");
  EXPECT_TRUE(run_until(absl::Seconds(60), [&] {
    return !address("198.51.100.").empty() && address("192.0.2.").empty();
  })) << ReadFile("/run/dhcpcd.log").value_or("");
}

TEST(Dhcpcd, LeaseReachesTheKernelIsRenewedAndChanges) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root: dhcpcd's own user";
  std::map<std::string, std::string> packages = FetchPackages();
  if (packages.size() < 6) GTEST_SKIP() << "needs Debian 13's dhcpcd-base and busybox: from the cache or the network";
  if (::access((ProgramDirectory() + "/applets").c_str(), X_OK) != 0)
    GTEST_SKIP() << "needs the program applets: ./dev build makes it";
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) ::_exit(77);
    Body(packages);
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "needs network and mount namespaces";
  EXPECT_EQ(status, 0) << "see the child's messages above";
}

}  // namespace
}  // namespace stele::machined
