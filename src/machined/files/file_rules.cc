#include "machined/files/file_rules.h"

#include <fnmatch.h>

#include <algorithm>
#include <cstring>

namespace stele::machined {
namespace {

// Later rows count. docs/files.md tells why each secret is one.
constexpr FileRule kNodeRules[] = {
    // The image, and what services were given.
    {"/usr", FileClass::kSystem},
    {"/usr/share/stele/config.yaml", FileClass::kSecret},  // the configuration, with the API's key
    {"/etc", FileClass::kSystem},
    {"/etc/cni", FileClass::kSystem},
    {"/etc/containerd", FileClass::kPrivate},           // where passwords of registries would be
    {"/etc/kubernetes/*.conf", FileClass::kSecret},     // kubeconfigs, as kubeadm names them
    {"/etc/kubernetes/manifests", FileClass::kSecret},  // static pods, which the configuration calls secret
    {"/etc/kubernetes/pki|ssl", FileClass::kSecret},
    {"/etc/ssl/private", FileClass::kSecret},
    {"/etc/shadow|gshadow", FileClass::kSecret},
    {"/opt", FileClass::kSystem},
    {"/opt/cni/bin", FileClass::kSystem},

    // Data of the node and of pods.
    {"/var", FileClass::kData},
    {"/var/log", FileClass::kSystem},
    {"/var/log/pods", FileClass::kLog},
    {"/var/lib/cni", FileClass::kSystem},
    {"/var/lib/etcd", FileClass::kSecret},
    {"/var/lib/containerd/io.containerd.metadata.v1.bolt", FileClass::kSecret},  // containers' environments
    {"/var/lib/kubelet/pki", FileClass::kSecret},
    {"/var/lib/kubelet/config.json", FileClass::kSecret},  // passwords of registries
    {"/var/lib/kubelet/checkpoints", FileClass::kSecret},  // memory of containers
    {"/var/lib/kubelet/pods/*/volumes/kubernetes.io~secret", FileClass::kSecret},
    {"/var/lib/kubelet/pods/*/volumes/kubernetes.io~projected", FileClass::kSecret},
    {"/var/lib/kubelet/pods/*/volume-subpaths", FileClass::kSecret},
    {"/tmp", FileClass::kData},

    // What runs.
    {"/run", FileClass::kSystem},
    {"/run/stele", FileClass::kSecret},       // keys of the API, the state partition, the ESP
    {"/run/containerd", FileClass::kSecret},  // containers' specs, with their environments

    // The kernel's: only what is listed, since every version brings more. Never environ, mem, fd, root, kmsg, kcore.
    {"/", FileClass::kSystem},  // its names alone: what is below needs a row of its own
    {"/proc", FileClass::kSystem},
    {"/proc/*", FileClass::kNone},
    {"/proc/[0-9]*", FileClass::kSystem},
    {"/proc/[0-9]*/*", FileClass::kNone},
    {"/proc/[0-9]*/cgroup|cmdline|comm|io|limits|loginuid|mountinfo|mounts|mountstats|net|oom_score|oom_score_adj",
     FileClass::kSystem},
    {"/proc/[0-9]*/cpuset|gid_map|sched|schedstat|setgroups|stat|statm|status|task|uid_map", FileClass::kSystem},
    {"/proc/[0-9]*/task/*/*", FileClass::kNone},
    {"/proc/[0-9]*/task/*/comm|sched|schedstat|stat|status", FileClass::kSystem},
    {"/proc/buddyinfo|cgroups|cmdline|config.gz|consoles|cpuinfo|crypto|devices|diskstats|filesystems|interrupts",
     FileClass::kSystem},
    {"/proc/fs|irq|loadavg|locks|mdstat|meminfo|misc|pagetypeinfo|partitions|pressure|schedstat|softirqs|stat",
     FileClass::kSystem},
    {"/proc/swaps|sys|sysvipc|uptime|version|vmstat|zoneinfo", FileClass::kSystem},
    {"/proc/iomem|ioports|modules|slabinfo", FileClass::kPrivate},  // addresses of the kernel
    {"/proc/sys/net/ipv4/tcp_fastopen_key", FileClass::kSecret},
    {"/proc/sys/net/ipv6/conf/*/stable_secret", FileClass::kSecret},
    {"/sys", FileClass::kSystem},
    {"/sys/fs/cgroup", FileClass::kSystem},
    {"/sys/firmware", FileClass::kPrivate},
    {"/sys/firmware/efi", FileClass::kSecret},          // variables
    {"/sys/firmware/qemu_fw_cfg", FileClass::kSecret},  // the configuration
    {"/sys/firmware/dmi", FileClass::kSecret},          // seeds in SMBIOS strings
    {"/sys/kernel", FileClass::kPrivate},

    // Anywhere.
    {"*.key", FileClass::kSecret},
    {"*.keys", FileClass::kSecret},
    {"*-key.pem", FileClass::kSecret},
    {"*kubeconfig*", FileClass::kSecret},
    {"kubelet-client-*", FileClass::kSecret},
    {"kubelet-server-*", FileClass::kSecret},
};

// Of no store of files: looked at one by one, never walked.
constexpr absl::string_view kOneByOne[] = {"proc", "sys"};

struct Needs {
  Need open;
  Need closed;
};

constexpr Needs kNobody = {Need::kNobody, Need::kNobody};

// To look: list, or be told what a link or a device is.
Needs LookNeeds(FileClass file_class) {
  switch (file_class) {
    case FileClass::kSystem:
      return {Need::kReader, Need::kAdmin};
    case FileClass::kLog:
      return {Need::kReader, Need::kReader};
    case FileClass::kData:
      return {Need::kReader, Need::kOperator};
    case FileClass::kPrivate:
      return {Need::kAdmin, Need::kAdmin};
    case FileClass::kNone:
    case FileClass::kSecret:
      break;
  }
  return kNobody;
}

// To read a file's content.
Needs ReadNeeds(FileClass file_class) {
  return file_class == FileClass::kData ? Needs{Need::kAdmin, Need::kAdmin} : LookNeeds(file_class);
}

// The part of `pattern` after `depth` slashes beyond the first; empty behind its end.
absl::string_view Part(absl::string_view pattern, size_t depth) {
  pattern.remove_prefix(1);
  for (; depth > 0; --depth) {
    size_t slash = pattern.find('/');
    if (slash == absl::string_view::npos) return "";
    pattern.remove_prefix(slash + 1);
  }
  return pattern.substr(0, pattern.find('/'));
}

bool HasWildcard(absl::string_view part) { return part.find_first_of("*?[|") != absl::string_view::npos; }

bool MatchesOne(absl::string_view part, const std::string& name) {
  if (!HasWildcard(part)) return part == name;
  return ::fnmatch(std::string(part).c_str(), name.c_str(), FNM_NOESCAPE) == 0;
}

// A name, a wildcard, or several of them.
bool Matches(absl::string_view part, const std::string& name) {
  for (size_t bar; (bar = part.find('|')) != absl::string_view::npos; part.remove_prefix(bar + 1)) {
    if (MatchesOne(part.substr(0, bar), name)) return true;
  }
  return MatchesOne(part, name);
}

}  // namespace

const char* NeedName(Need need) {
  switch (need) {
    case Need::kReader:
      return "reader";
    case Need::kOperator:
      return "operator";
    case Need::kAdmin:
      return "admin";
    case Need::kNobody:
      break;
  }
  return "nobody";
}

bool ParseRole(absl::string_view name, Need& role) {
  for (Need known : {Need::kReader, Need::kOperator, Need::kAdmin}) {
    if (name != NeedName(known)) continue;
    role = known;
    return true;
  }
  return false;
}

absl::Span<const FileRule> NodeFileRules() { return kNodeRules; }

FilePlace FilePlace::Top(absl::Span<const FileRule> rules) {
  FilePlace top(rules);
  for (size_t i = 0; i < rules.size(); ++i) {
    if (rules[i].pattern[0] != '/') continue;
    if (rules[i].pattern[1] != '\0') {
      top.open_.push_back(static_cast<uint16_t>(i));
    } else {
      // Of "/" the row speaks of itself alone.
      top.class_ = rules[i].file_class;
      top.named_ = true;
    }
  }
  top.one_by_one_ = true;
  return top;
}

FilePlace FilePlace::Child(absl::string_view name) const {
  FilePlace child(rules_);
  child.depth_ = depth_ + 1;
  child.row_ = row_;
  child.class_ = depth_ == 0 ? FileClass::kNone : class_;
  bool kernels = std::find(std::begin(kOneByOne), std::end(kOneByOne), name) != std::end(kOneByOne);
  child.one_by_one_ = depth_ == 0 ? kernels : one_by_one_;
  auto take = [&](size_t row) {
    if (static_cast<int>(row) < child.row_) return;
    child.row_ = static_cast<int>(row);
    child.class_ = rules_[row].file_class;
  };
  std::string text(name);
  for (uint16_t row : open_) {
    absl::string_view pattern = rules_[row].pattern;
    if (!Matches(Part(pattern, depth_), text)) continue;
    if (!Part(pattern, depth_ + 1).empty()) {
      child.open_.push_back(row);
      continue;
    }
    take(row);
    child.named_ = child.named_ || !HasWildcard(pattern);
  }
  for (size_t row = rules_.size(); row-- > 0 && rules_[row].pattern[0] != '/';) {
    if (Matches(rules_[row].pattern, text)) {
      take(row);
      break;  // those before it count less
    }
  }
  return child;
}

Need NeedOf(const FilePlace& place, const FileModes& modes) {
  // A link, a device, a socket: nothing of it is read, and a link's mode says nothing.
  if (!S_ISREG(modes.mode) && !S_ISDIR(modes.mode)) return NeedToSearch(place, modes.reachable);
  Needs needs = S_ISREG(modes.mode) ? ReadNeeds(place.file_class()) : LookNeeds(place.file_class());
  return modes.Open() ? needs.open : needs.closed;
}

Need NeedToSearch(const FilePlace& place, bool reachable) {
  Needs needs = LookNeeds(place.file_class());
  return reachable ? needs.open : needs.closed;
}

}  // namespace stele::machined
