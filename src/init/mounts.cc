#include "init/mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "base/file.h"

namespace stele::init {
namespace {

constexpr unsigned long kNoDevices = MS_NOSUID | MS_NODEV;
constexpr unsigned long kData = MS_NOSUID | MS_NODEV | MS_NOEXEC;

constexpr MountSpec kKernelMounts[] = {
    {"proc", "/proc", "proc", kData, nullptr},
    {"sysfs", "/sys", "sysfs", kData, nullptr},
    {"devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755"},
    // Executable: runc and the shims put themselves here. Bounded: it is the machine's memory.
    {"tmpfs", "/run", "tmpfs", kNoDevices, "mode=0755,size=20%,nr_inodes=400k"},
};

constexpr MountSpec kMoreMounts[] = {
    {"cgroup2", "/sys/fs/cgroup", "cgroup2", kData, "nsdelegate,memory_recursiveprot"},
    {"bpf", "/sys/fs/bpf", "bpf", kData, "mode=0700", true},
    {"pstore", "/sys/fs/pstore", "pstore", kData, nullptr, true},
    {"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666,gid=5"},
    {"tmpfs", "/dev/shm", "tmpfs", kNoDevices, "mode=1777,size=50%"},
    {"tmpfs", "/tmp", "tmpfs", kNoDevices, "mode=1777,size=50%,nr_inodes=400k"},
};

}  // namespace

absl::Span<const MountSpec> KernelMounts() { return kKernelMounts; }
absl::Span<const MountSpec> MoreMounts() { return kMoreMounts; }

bool IsMountPoint(const char* path) {
  struct statx info;
  return ::statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, 0, &info) == 0 && (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

absl::Status MountUnlessMounted(const MountSpec& mount) {
  if (IsMountPoint(mount.target)) return absl::OkStatus();
  if (::mkdir(mount.target, 0755) != 0 && errno != EEXIST && errno != EROFS) return ErrnoStatus("make ", mount.target);
  if (::mount(mount.source, mount.target, mount.type, mount.flags, mount.options) == 0) return absl::OkStatus();
  // Options that an older kernel or a user namespace does not have.
  if (errno == EINVAL && mount.options != nullptr &&
      ::mount(mount.source, mount.target, mount.type, mount.flags, nullptr) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus("mount ", mount.type, " on ", mount.target);
}

absl::Status MakeSmallDev() {
  static constexpr struct {
    const char* path;
    unsigned minor;
  } kDevices[] = {{"/dev/null", 3}, {"/dev/zero", 5}, {"/dev/full", 7}, {"/dev/random", 8}, {"/dev/urandom", 9}};
  RETURN_IF_ERROR(MountUnlessMounted({"tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=0755,size=1m"}));
  mode_t mask = ::umask(0);
  absl::Status status;
  for (const auto& device : kDevices) {
    if (::mknod(device.path, S_IFCHR | 0666, ::makedev(1, device.minor)) != 0 && errno != EEXIST && status.ok()) {
      status = ErrnoStatus("make ", device.path);
    }
  }
  ::umask(mask);
  return status;
}

void MakeDevLinks() {
  static constexpr const char* kLinks[][2] = {{"/proc/self/fd", "/dev/fd"},
                                              {"/proc/self/fd/0", "/dev/stdin"},
                                              {"/proc/self/fd/1", "/dev/stdout"},
                                              {"/proc/self/fd/2", "/dev/stderr"},
                                              {"pts/ptmx", "/dev/ptmx"}};
  for (const auto& link : kLinks) (void)!::symlink(link[0], link[1]);  // what is there already is right
}

}  // namespace stele::init
