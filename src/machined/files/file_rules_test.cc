// The node's table, asked for single paths.
#include "machined/files/file_rules.h"

#include <gmock/gmock.h>

#include "absl/strings/str_split.h"

namespace stele::machined {
namespace {

FilePlace PlaceOf(absl::string_view path) {
  FilePlace place = FilePlace::Top(NodeFileRules());
  for (absl::string_view name : absl::StrSplit(path, '/', absl::SkipEmpty())) place = place.Child(name);
  return place;
}

struct Case {
  const char* path;
  FileClass file_class;
};

TEST(NodeFileRules, ByPath) {
  using enum FileClass;
  const Case kCases[] = {
      {"/", kSystem},
      {"/home/x", kNone},
      {"/dev", kNone},
      {"/dev/vda", kNone},
      {"/root", kNone},
      {"/usr/lib/stele/machined", kSystem},
      {"/usr/share/stele/config.yaml", kSecret},
      {"/usr/share/stele/keys/release.pem", kSystem},
      {"/usrlocal", kNone},
      {"/etc/hosts", kSystem},
      {"/etc/shadow", kSecret},
      {"/etc/cni/net.d/10-x.conflist", kSystem},
      {"/etc/cni/net.d/calico-kubeconfig", kSecret},
      {"/etc/containerd/config.toml", kPrivate},
      {"/etc/kubernetes/kubelet.yaml", kSystem},
      {"/etc/kubernetes/admin.conf", kSecret},
      {"/opt/cni/bin/bridge", kSystem},
      {"/etc/kubernetes/kubeconfig", kSecret},
      {"/etc/kubernetes/bootstrap-kubeconfig", kSecret},
      {"/etc/kubernetes/manifests", kSecret},
      {"/etc/kubernetes/manifests/pod.yaml", kSecret},
      {"/etc/kubernetes/pki/ca.crt", kSecret},
      {"/var", kData},
      {"/var/lib/postgres/data", kData},
      {"/var/log/x.log", kSystem},
      {"/var/log/pods/default_x/main/0.log", kLog},
      {"/var/log/pods/default_x/main/tls.key", kSecret},
      {"/var/log/podsx", kSystem},
      {"/var/lib/etcd/member/snap/db", kSecret},
      {"/var/lib/containerd", kData},
      {"/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs/bin/sh", kData},
      {"/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db", kSecret},
      {"/var/lib/kubelet/kubeconfig", kSecret},
      {"/var/lib/kubelet/config.json", kSecret},
      {"/var/lib/kubelet/pki/kubelet-client-current.pem", kSecret},
      {"/var/lib/kubelet/kubelet-client-2026.pem", kSecret},
      {"/var/lib/kubelet/pods/uid/volumes/kubernetes.io~empty-dir/cache/x", kData},
      {"/var/lib/kubelet/pods/uid/volumes/kubernetes.io~secret/token/token", kSecret},
      {"/var/lib/kubelet/pods/uid/volumes/kubernetes.io~projected/kube-api-access/token", kSecret},
      {"/var/lib/kubelet/pods/uid/volume-subpaths/x/y/0", kSecret},
      {"/run", kSystem},
      {"/run/dhcpcd/pid", kSystem},
      {"/run/stele", kSecret},
      {"/run/stele/apid/tls.pem", kSecret},
      {"/run/stele/state/config/1.yaml", kSecret},
      {"/run/containerd/io.containerd.runtime.v2.task/k8s.io/id/config.json", kSecret},
      {"/proc", kSystem},
      {"/proc/meminfo", kSystem},
      {"/proc/kmsg", kNone},
      {"/proc/kcore", kNone},
      {"/proc/keys", kNone},
      {"/proc/self", kNone},
      {"/proc/self/status", kNone},
      {"/proc/thread-self", kNone},
      {"/proc/net", kNone},
      {"/proc/modules", kPrivate},
      {"/proc/1", kSystem},
      {"/proc/1/status", kSystem},
      {"/proc/1/cmdline", kSystem},
      {"/proc/1/net/tcp", kSystem},
      {"/proc/1/environ", kNone},
      {"/proc/1/mem", kNone},
      {"/proc/1/maps", kNone},
      {"/proc/1/root", kNone},
      {"/proc/1/root/etc/passwd", kNone},
      {"/proc/1/cwd", kNone},
      {"/proc/1/exe", kNone},
      {"/proc/1/fd", kNone},
      {"/proc/1/fd/3", kNone},
      {"/proc/1/fdinfo/3", kNone},
      {"/proc/1/map_files", kNone},
      {"/proc/1/ns/mnt", kNone},
      {"/proc/1/task", kSystem},
      {"/proc/1/task/1", kSystem},
      {"/proc/1/task/1/status", kSystem},
      {"/proc/1/task/1/root", kNone},
      {"/proc/1/task/1/environ", kNone},
      {"/proc/1/task/1/fd/0", kNone},
      {"/proc/sys/kernel/hostname", kSystem},
      {"/proc/sys/net/ipv4/tcp_fastopen_key", kSecret},
      {"/proc/sys/net/ipv6/conf/eth0/stable_secret", kSecret},
      {"/proc/sysrq-trigger", kNone},
      {"/sys/devices/virtual/net/lo/mtu", kSystem},
      {"/sys/fs/cgroup/system/machined/memory.current", kSystem},
      {"/sys/firmware/acpi/tables/DSDT", kPrivate},
      {"/sys/firmware/efi/efivars/x", kSecret},
      {"/sys/firmware/qemu_fw_cfg/by_name/opt/stele/config/raw", kSecret},
      {"/sys/kernel/debug", kPrivate},
  };
  for (const Case& each : kCases) EXPECT_EQ(PlaceOf(each.path).file_class(), each.file_class) << each.path;
}

TEST(NodeFileRules, NamesAnywhereStandLast) {
  bool anywhere = false;
  for (const FileRule& rule : NodeFileRules()) {
    if (rule.pattern[0] == '/') {
      EXPECT_FALSE(anywhere) << rule.pattern;
    } else {
      anywhere = true;
      EXPECT_EQ(rule.file_class, FileClass::kSecret) << rule.pattern;
    }
  }
  EXPECT_TRUE(anywhere);
}

// A place that a row shows can be reached: what lies above it may be searched by somebody.
TEST(NodeFileRules, NoRowIsOutOfReach) {
  for (const FileRule& rule : NodeFileRules()) {
    if (rule.pattern[0] != '/' || rule.file_class == FileClass::kNone || rule.file_class == FileClass::kSecret)
      continue;
    FilePlace place = FilePlace::Top(NodeFileRules());
    for (absl::string_view part : absl::StrSplit(rule.pattern, '/', absl::SkipEmpty())) {
      EXPECT_NE(NeedToSearch(place, true), Need::kNobody) << rule.pattern;
      part = part.substr(0, part.find('|'));
      place = place.Child(part == "*" ? "x" : part == "[0-9]*" ? "1" : part);
    }
    EXPECT_EQ(place.file_class(), rule.file_class) << rule.pattern;
  }
}

TEST(NodeFileRules, MountsAreEnteredWhereARowNamesThem) {
  for (const char* path :
       {"/var", "/run", "/proc", "/sys", "/sys/fs/cgroup", "/etc", "/etc/cni", "/opt/cni/bin", "/tmp", "/usr"}) {
    EXPECT_TRUE(PlaceOf(path).named()) << path;
  }
  for (const char* path :
       {"/var/lib", "/sys/kernel/debug", "/proc/1", "/proc/sys/fs/binfmt_misc", "/sys/fs/bpf", "/var/x.key"}) {
    EXPECT_FALSE(PlaceOf(path).named()) << path;
  }
}

TEST(NodeFileRules, TheKernelsAreNotWalked) {
  for (const char* path : {"/", "/proc", "/proc/1/status", "/sys", "/sys/fs/cgroup"}) {
    EXPECT_TRUE(PlaceOf(path).one_by_one()) << path;
  }
  for (const char* path : {"/var", "/usr", "/var/proc", "/etc/sys"}) EXPECT_FALSE(PlaceOf(path).one_by_one()) << path;
}

// Roles by class and mode: looking into a directory, reading a file.
TEST(NodeFileRules, Needs) {
  struct {
    const char* path;
    mode_t mode;
    bool reachable;
    Need need;
  } kCases[] = {
      {"/etc/hosts", S_IFREG | 0644, true, Need::kReader},
      {"/etc/hosts", S_IFREG | 0640, true, Need::kAdmin},
      {"/etc/hosts", S_IFREG | 0644, false, Need::kAdmin},
      {"/etc", S_IFDIR | 0755, true, Need::kReader},
      {"/etc", S_IFDIR | 0744, true, Need::kAdmin},
      {"/etc/link", S_IFLNK | 0777, true, Need::kReader},
      {"/etc/link", S_IFLNK | 0777, false, Need::kAdmin},
      {"/var/log/pods/x", S_IFREG | 0640, true, Need::kReader},
      {"/var/log/pods", S_IFDIR | 0700, false, Need::kReader},
      {"/var/lib/app", S_IFDIR | 0755, true, Need::kReader},
      {"/var/lib/app", S_IFDIR | 0700, true, Need::kOperator},
      {"/var/lib/app/x", S_IFREG | 0644, true, Need::kAdmin},
      {"/var/lib/app/x", S_IFSOCK | 0777, true, Need::kReader},
      {"/proc/modules", S_IFREG | 0444, true, Need::kAdmin},
      {"/run/stele/log/x", S_IFREG | 0644, true, Need::kNobody},
      {"/run/stele", S_IFDIR | 0755, true, Need::kNobody},
      {"/home", S_IFDIR | 0755, true, Need::kNobody},
  };
  for (const auto& each : kCases) {
    EXPECT_EQ(NeedOf(PlaceOf(each.path), {each.reachable, each.mode}), each.need)
        << each.path << " " << std::oct << each.mode;
  }
}

TEST(NodeFileRules, Roles) {
  Need role = Need::kNobody;
  EXPECT_TRUE(ParseRole("operator", role));
  EXPECT_EQ(role, Need::kOperator);
  for (const char* name : {"", "nobody", "Admin", "root"}) EXPECT_FALSE(ParseRole(name, role)) << name;
}

}  // namespace
}  // namespace stele::machined
