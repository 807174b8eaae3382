#include <getopt.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "applets/applets.h"
#include "applets/mount_options.h"

namespace stele::applets {
namespace {

constexpr int kUsage = 1;
constexpr int kRefused = 32;

// The kubelet looks for some of mount(8)'s words, so these are mount(8)'s.
int Refused(const char* source, const char* target, const char* type) {
  int error = errno;
  struct stat info;
  switch (error) {
    case ENOENT:
      if (::stat(target, &info) != 0) {
        fprintf(stderr, "mount: %s: mount point does not exist.\n", target);
      } else {
        fprintf(stderr, "mount: %s: special device %s does not exist.\n", target, source);
      }
      break;
    case ENOTDIR:
      fprintf(stderr, "mount: %s: mount point is not a directory.\n", target);
      break;
    case EPERM:
    case EACCES:
      fprintf(stderr, "mount: %s: permission denied.\n", target);
      break;
    case EBUSY:
      fprintf(stderr, "mount: %s: %s already mounted or mount point busy.\n", target, source);
      break;
    case ENODEV:
      fprintf(stderr, "mount: %s: unknown filesystem type '%s'.\n", target, type);
      break;
    case ENOTBLK:
      fprintf(stderr, "mount: %s: %s is not a block device.\n", target, source);
      break;
    case EINVAL:
      fprintf(stderr, "mount: %s: wrong fs type, bad option, bad superblock on %s, or not a mount point.\n", target,
              source);
      break;
    default:
      fprintf(stderr, "mount: %s: mount(2) system call failed: %s.\n", target, strerror(error));
      break;
  }
  return kRefused;
}

// What a bind mount has already and a remount would silently drop.
unsigned long FlagsOf(const char* target) {
  struct statvfs info;
  if (::statvfs(target, &info) != 0) return 0;
  unsigned long flags = 0;
  if (info.f_flag & ST_RDONLY) flags |= MS_RDONLY;
  if (info.f_flag & ST_NOSUID) flags |= MS_NOSUID;
  if (info.f_flag & ST_NODEV) flags |= MS_NODEV;
  if (info.f_flag & ST_NOEXEC) flags |= MS_NOEXEC;
  if (info.f_flag & ST_NOATIME) flags |= MS_NOATIME;
  if (info.f_flag & ST_NODIRATIME) flags |= MS_NODIRATIME;
  if (info.f_flag & ST_RELATIME) flags |= MS_RELATIME;
  return flags;
}

constexpr unsigned long kHow = MS_BIND | MS_REC | MS_REMOUNT;  // what to do, not how it shall be

int Mount(const char* source, const char* target, const char* type, const MountOptions& options, bool writable) {
  bool bind = (options.flags & MS_BIND) != 0, remount = (options.flags & MS_REMOUNT) != 0;
  unsigned long wanted = options.flags & ~kHow;
  if (bind && !remount) {
    if (::mount(source, target, nullptr, options.flags & kHow, nullptr) != 0) return Refused(source, target, "none");
  }
  if (bind && (remount || wanted != 0)) {
    // A bind mount takes its own flags in a second call only.
    unsigned long kept = FlagsOf(target);
    if (writable) kept &= ~static_cast<unsigned long>(MS_RDONLY);
    if (::mount("none", target, nullptr, MS_BIND | MS_REMOUNT | kept | wanted, nullptr) != 0) {
      return Refused(source, target, "none");
    }
  }
  if (!bind && (type != nullptr || remount)) {
    const char* data = options.data.empty() ? nullptr : options.data.c_str();
    if (::mount(source, target, type, options.flags, data) != 0) {
      return Refused(source, target, type != nullptr ? type : "none");
    }
  }
  if (options.propagation != 0 && ::mount("none", target, nullptr, options.propagation, nullptr) != 0) {
    return Refused(source, target, "none");
  }
  return 0;
}

constexpr option kLong[] = {
    {"types", required_argument, nullptr, 't'},
    {"options", required_argument, nullptr, 'o'},
    {"bind", no_argument, nullptr, 'B'},
    {"rbind", no_argument, nullptr, 'R'},
    {"read-only", no_argument, nullptr, 'r'},
    {"rw", no_argument, nullptr, 'w'},
    {"no-mtab", no_argument, nullptr, 'n'},
    {"no-canonicalize", no_argument, nullptr, 'c'},
    {"internal-only", no_argument, nullptr, 'i'},
    {"verbose", no_argument, nullptr, 'v'},
    {"make-shared", no_argument, nullptr, 'M'},
    {"make-rshared", no_argument, nullptr, 'M'},
    {"make-slave", no_argument, nullptr, 'M'},
    {"make-rslave", no_argument, nullptr, 'M'},
    {"make-private", no_argument, nullptr, 'M'},
    {"make-rprivate", no_argument, nullptr, 'M'},
    {"make-unbindable", no_argument, nullptr, 'M'},
    {"make-runbindable", no_argument, nullptr, 'M'},
    {nullptr, 0, nullptr, 0},
};

}  // namespace

int MountMain(int argc, char** argv) {
  MountOptions options;
  const char* type = nullptr;
  bool writable = false;
  optind = 1;
  for (int letter, index = 0; (letter = ::getopt_long(argc, argv, "t:o:BRrwnciv", kLong, &index)) != -1;) {
    switch (letter) {
      case 't':
        type = optarg;
        break;
      case 'o':
        options.Add(optarg);
        writable |= strstr((std::string(",") + optarg + ",").c_str(), ",rw,") != nullptr;
        break;
      case 'B':
        options.Add("bind");
        break;
      case 'R':
        options.Add("rbind");
        break;
      case 'r':
        options.Add("ro");
        break;
      case 'w':
        options.Add("rw"), writable = true;
        break;
      case 'M':
        options.Add(kLong[index].name + strlen("make-"));
        break;
      case 'n':
      case 'c':
      case 'i':
      case 'v':
        break;  // we never write mtab, look up names or call helpers
      default:
        return kUsage;
    }
  }
  int operands = argc - optind;
  bool only_changes = (options.flags & MS_REMOUNT) != 0 || (options.propagation != 0 && type == nullptr);
  if (operands == 1 && only_changes) return Mount("none", argv[optind], type, options, writable);
  if (operands != 2) {
    fprintf(stderr, "mount: wants SOURCE and TARGET\n");
    return kUsage;
  }
  if (type == nullptr && !only_changes && (options.flags & MS_BIND) == 0) {
    fprintf(stderr, "mount: %s: wants a file system type: -t TYPE\n", argv[optind + 1]);
    return kUsage;
  }
  return Mount(argv[optind], argv[optind + 1], type, options, writable);
}

int UmountMain(int argc, char** argv) {
  static constexpr option kUmountLong[] = {{"force", no_argument, nullptr, 'f'},
                                           {"lazy", no_argument, nullptr, 'l'},
                                           {"no-mtab", no_argument, nullptr, 'n'},
                                           {"no-canonicalize", no_argument, nullptr, 'c'},
                                           {"internal-only", no_argument, nullptr, 'i'},
                                           {"verbose", no_argument, nullptr, 'v'},
                                           {nullptr, 0, nullptr, 0}};
  int flags = 0;
  optind = 1;
  for (int letter; (letter = ::getopt_long(argc, argv, "flnciv", kUmountLong, nullptr)) != -1;) {
    switch (letter) {
      case 'f':
        flags |= MNT_FORCE;
        break;
      case 'l':
        flags |= MNT_DETACH;
        break;
      case 'n':
      case 'c':
      case 'i':
      case 'v':
        break;
      default:
        return kUsage;
    }
  }
  if (optind == argc) {
    fprintf(stderr, "umount: wants a TARGET\n");
    return kUsage;
  }
  int answer = 0;
  for (int at = optind; at < argc; ++at) {
    if (::umount2(argv[at], flags) == 0) continue;
    answer = kRefused;
    switch (errno) {
      case EINVAL:
        fprintf(stderr, "umount: %s: not mounted.\n", argv[at]);
        break;  // the kubelet looks for this
      case ENOENT:
        fprintf(stderr, "umount: %s: no mount point specified.\n", argv[at]);
        break;
      case EBUSY:
        fprintf(stderr, "umount: %s: target is busy.\n", argv[at]);
        break;
      case EPERM:
        fprintf(stderr, "umount: %s: must be superuser to unmount.\n", argv[at]);
        break;
      default:
        fprintf(stderr, "umount: %s: umount(2) failed: %s.\n", argv[at], strerror(errno));
        break;
    }
  }
  return answer;
}

}  // namespace stele::applets
