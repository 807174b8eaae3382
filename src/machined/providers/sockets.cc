// The `sockets` resources, from /proc/PID/net of each network namespace, and who has them open from /proc/PID/fd.
#include <arpa/inet.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "machined/providers/socket_table.h"
#include "stele/resource/v1/kernel.pb.h"

namespace stele::machined {
namespace {

constexpr const char* kProtocols[] = {"tcp", "tcp6", "udp", "udp6", "raw", "raw6"};
constexpr size_t kMaxSockets = 20'000;

// The inode behind a link such as "socket:[1234]" or "net:[4026531840]"; 0 for any other.
uint64_t InodeOf(const std::string& link, absl::string_view kind) {
  std::string name = LinkName(link);
  absl::string_view rest = name;
  uint64_t inode = 0;
  if (!absl::ConsumePrefix(&rest, kind) || !absl::ConsumePrefix(&rest, ":[") || !absl::ConsumeSuffix(&rest, "]"))
    return 0;
  return absl::SimpleAtoi(rest, &inode) ? inode : 0;
}

// …/pod1234-…/container → 1234-…; empty for what is no pod's.
std::string PodOf(absl::string_view cgroup) {
  for (absl::string_view part : absl::StrSplit(cgroup, '/')) {
    if (absl::ConsumePrefix(&part, "pod") && part.size() == 36) return std::string(part);
  }
  return "";
}

struct Holder {
  int32_t pid = 0;
  std::string name;
};

struct Network {
  std::string net_folder;  // /proc/PID/net of one of its processes
  std::string pod;
};

struct Processes {
  std::map<uint64_t, Holder> holders;    // by socket
  std::map<uint64_t, Network> networks;  // by namespace
};

Processes LookAtProcesses() {
  Processes found;
  uint64_t ours = InodeOf("/proc/self/ns/net", "net");
  found.networks[ours] = {"/proc/self/net", ""};
  for (const std::string& pid_text : NamesIn("/proc")) {
    int32_t pid = 0;
    if (!absl::SimpleAtoi(pid_text, &pid)) continue;
    std::string folder = absl::StrCat("/proc/", pid);
    std::string name = TextOf(folder + "/comm");
    for (const std::string& fd : NamesIn(folder + "/fd")) {
      // The lowest pid that has it: a parent before the children that inherited it.
      uint64_t inode = InodeOf(absl::StrCat(folder, "/fd/", fd), "socket");
      if (inode == 0) continue;
      Holder& holder = found.holders[inode];
      if (holder.pid == 0 || pid < holder.pid) holder = {pid, name};
    }
    uint64_t network = InodeOf(folder + "/ns/net", "net");
    if (network == 0 || network == ours) continue;
    auto [at, added] = found.networks.try_emplace(network);
    if (added) at->second = {folder + "/net", PodOf(TextOf(folder + "/cgroup"))};
  }
  return found;
}

}  // namespace

absl::StatusOr<Provided> ReadSockets() {
  Provided all;
  Processes processes = LookAtProcesses();
  for (const auto& [inode, network] : processes.networks) {
    for (const char* protocol : kProtocols) {
      std::string table = BytesOf(absl::StrCat(network.net_folder, "/", protocol));
      for (absl::string_view line : absl::StrSplit(table, '\n', absl::SkipEmpty())) {
        if (all.size() >= kMaxSockets) return all;
        absl::StatusOr<SocketLine> socket = ParseSocketLine(line, protocol);
        if (!socket.ok()) continue;
        std::string id = socket->inode != 0
                             ? absl::StrCat(socket->inode)
                             : absl::StrCat(protocol, ":", socket->body.local(), "-", socket->body.remote());
        auto* body = Provide<resource::v1::Socket>(all, id);
        if (body == nullptr) continue;
        *body = std::move(socket->body);
        body->set_pod(network.pod);
        auto holder = processes.holders.find(socket->inode);
        if (socket->inode == 0 || holder == processes.holders.end()) continue;
        body->set_pid(holder->second.pid);
        body->set_process(holder->second.name);
      }
    }
  }
  return all;
}

}  // namespace stele::machined
