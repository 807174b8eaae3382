#include "machined/dhcp_controller.h"

#include <dirent.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "machined/log.h"
#include "machined/network_specs.h"
#include "machined/uptime.h"

namespace stele::machined {
namespace {

// The client tells of an expiry itself; this long after we no longer wait for it.
constexpr absl::Duration kExpiryGrace = absl::Seconds(5);
constexpr absl::string_view kSuffix = ".lease";
constexpr int kDatagramsPerTurn = 16;

absl::StatusOr<UniqueFd> OpenSocket(const std::string& path, uint32_t uid) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrnoStatus("open socket");
  int on = 1;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0) return ErrnoStatus("ask for credentials");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return absl::InvalidArgumentError(absl::StrCat(path, ": too long"));
  path.copy(address.sun_path, path.size());
  ::unlink(path.c_str());  // of the machined before; its datagrams, if any, are lost, and the client renews
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) return ErrnoStatus("bind ", path);
  if (::chown(path.c_str(), uid, 0) < 0) return ErrnoStatus("chown ", path);
  if (::chmod(path.c_str(), 0600) < 0) return ErrnoStatus("chmod ", path);
  return fd;
}

// The sender's uid as the kernel vouches for it; -1 without.
int64_t SenderOf(msghdr& message) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_CREDENTIALS) continue;
    ucred credentials;
    std::memcpy(&credentials, CMSG_DATA(control), sizeof(credentials));
    return credentials.uid;
  }
  return -1;
}

}  // namespace

DhcpController::~DhcpController() {
  if (node_ != nullptr && socket_.ok()) node_->loop().events().Remove(socket_.get(), this);
}

absl::Status DhcpController::Start(Node& node) {
  RETURN_IF_ERROR(Controller::Start(node));
  RETURN_IF_ERROR(MakeDirectories(paths_.leases, 0700));
  ASSIGN_OR_RETURN(socket_, OpenSocket(paths_.socket, paths_.client_uid));
  RETURN_IF_ERROR(node.loop().events().Add(socket_.get(), EPOLLIN, this));
  LoadLeases();
  // Before anybody reconciles: the addresses of a machined that was killed must not look unwanted.
  return Publish();
}

void DhcpController::OnReady(uint32_t) {
  std::string buffer(kMaxDhcpReport + 1, '\0');
  for (int i = 0; i < kDatagramsPerTurn; ++i) {
    iovec part = {.iov_base = buffer.data(), .iov_len = buffer.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    ssize_t size = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    if (size < 0) return;  // nothing more
    int64_t uid = SenderOf(message);
    if (uid != 0 && uid != paths_.client_uid) {
      Log("dhcp: a report from uid ", uid, " is ignored");
      continue;
    }
    HandleDatagram(absl::string_view(buffer.data(), static_cast<size_t>(size)));
  }
}

void DhcpController::HandleDatagram(absl::string_view datagram) {
  absl::StatusOr<DhcpReport> report = ParseDhcpReport(datagram);
  if (!report.ok()) {
    Log("dhcp: ", report.status().message());
    return;
  }
  switch (LeaseChangeOf(*report)) {
    case LeaseChange::kNone:
      return;
    case LeaseChange::kLost:
      Drop(report->interface, report->reason);
      break;
    case LeaseChange::kHave: {
      absl::StatusOr<resource::v1::DhcpLease> lease = LeaseOf(*report);
      if (!lease.ok()) {
        node_->Emit("network", report->interface, lease.status().message(), machine::v1::SEVERITY_WARNING);
        return;
      }
      Have(report->interface, *std::move(lease));
      break;
    }
  }
  Wake();
}

void DhcpController::Have(const std::string& link, resource::v1::DhcpLease lease) {
  absl::Time now = absl::Now();
  lease.mutable_obtained()->set_seconds(absl::ToUnixSeconds(now));
  Held& held = held_[link];
  if (held.lease.address() != lease.address() || held.lease.server() != lease.server()) {
    node_->Emit("network", link, absl::StrCat("lease of ", lease.address(), " from ", lease.server()));
  }
  held.expires =
      lease.has_lease_time() ? Uptime() + absl::Seconds(lease.lease_time().seconds()) : absl::InfiniteDuration();
  held.lease = std::move(lease);
  std::string file = absl::StrCat(paths_.leases, "/", link, kSuffix);
  std::string text = absl::StrCat(absl::ToInt64Seconds(held.expires), "\n", held.lease.SerializeAsString());
  if (absl::Status status = ReplaceFile(file, text, 0600); !status.ok()) Log("dhcp: ", status.message());
}

void DhcpController::Drop(const std::string& link, absl::string_view why) {
  if (held_.erase(link) == 0) return;
  ::unlink(absl::StrCat(paths_.leases, "/", link, kSuffix).c_str());
  node_->Emit("network", link, absl::StrCat("lease lost: ", why), machine::v1::SEVERITY_WARNING);
}

void DhcpController::LoadLeases() {
  DIR* directory = ::opendir(paths_.leases.c_str());
  if (directory == nullptr) return;
  while (dirent* entry = ::readdir(directory)) {
    absl::string_view link = entry->d_name;
    if (!absl::ConsumeSuffix(&link, kSuffix)) continue;
    absl::StatusOr<std::string> text = ReadFile(absl::StrCat(paths_.leases, "/", entry->d_name));
    if (!text.ok()) continue;
    std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(*text, absl::MaxSplits('\n', 1));
    Held held;
    int64_t seconds = 0;
    if (!absl::SimpleAtoi(parts.first, &seconds) || !held.lease.ParseFromString(std::string(parts.second))) continue;
    // What InfiniteDuration became when it was written.
    if (seconds < absl::ToInt64Seconds(absl::InfiniteDuration())) held.expires = absl::Seconds(seconds);
    held_[std::string(link)] = std::move(held);
  }
  ::closedir(directory);
}

void DhcpController::DropExpired() {
  std::vector<std::string> expired;
  absl::Duration next = absl::InfiniteDuration();
  absl::Duration now = Uptime();
  for (const auto& [link, held] : held_) {
    if (held.expires + kExpiryGrace <= now) {
      expired.push_back(link);
    } else {
      next = std::min(next, held.expires + kExpiryGrace - now);
    }
  }
  for (const std::string& link : expired) Drop(link, "expired without a word of the client");
  if (expiry_timer_ != 0) node_->loop().Cancel(std::exchange(expiry_timer_, 0));
  if (next == absl::InfiniteDuration()) return;
  expiry_timer_ = node_->loop().After(next, [this] {
    expiry_timer_ = 0;
    Wake();
  });
}

absl::Status DhcpController::Reconcile() {
  // Without any spec nobody has said yet who asks DHCP (network_config_controller.h).
  std::map<std::string, resource::v1::LinkSpec> specs = node_->store().All<resource::v1::LinkSpec>();
  if (!specs.empty()) {
    std::vector<std::string> unasked;
    for (const auto& [link, held] : held_) {
      auto spec = specs.find(link);
      if (spec == specs.end() || !spec->second.dhcp4()) unasked.push_back(link);
    }
    for (const std::string& link : unasked) Drop(link, "the link no longer asks DHCP");
  }
  DropExpired();
  return Publish();
}

absl::Status DhcpController::Publish() {
  Store& store = node_->store();
  std::map<std::string, resource::v1::DhcpLease> leases;
  for (const auto& [link, held] : held_) leases[link] = held.lease;
  std::map<std::string, uint32_t> indexes;
  for (const auto& [link, resource] : store.All<resource::v1::Link>()) indexes[link] = resource.index();
  NetworkSpecs specs = SpecsOfLeases(leases, indexes);
  RETURN_IF_ERROR(store.Replace(name(), leases));
  RETURN_IF_ERROR(store.Replace(name(), specs.addresses));
  RETURN_IF_ERROR(store.Replace(name(), specs.routes));
  RETURN_IF_ERROR(store.Replace(name(), specs.resolvers));
  return store.Replace(name(), specs.hostnames);
}

}  // namespace stele::machined
