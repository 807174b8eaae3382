#include "init/unmount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"
#include "init/clock.h"
#include "init/log.h"

namespace stele::init {
namespace {

constexpr size_t kMaxTable = 512 * 1024;
constexpr size_t kMaxMounts = 2048;
constexpr size_t kMaxDevices = 16;

// Touched in the task only, so it costs init address space and no memory.
struct Table {
  char text[kMaxTable];
  MountLine mounts[kMaxMounts];
  size_t count = 0;
};
Table g_table;

struct Devices {
  char path[kMaxDevices][64];
  size_t count = 0;
};

bool ReadTable() {
  UniqueFd file(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return false;
  size_t size = 0;
  ssize_t got;
  while (size < kMaxTable - 1 && (got = ::read(file.get(), g_table.text + size, kMaxTable - 1 - size)) > 0) {
    size += static_cast<size_t>(got);
  }
  g_table.text[size] = '\0';
  g_table.count = 0;
  char* rest = g_table.text;
  for (char* line; g_table.count < kMaxMounts && (line = strtok_r(rest, "\n", &rest)) != nullptr;) {
    if (ParseMountLine(line, g_table.mounts[g_table.count])) ++g_table.count;
  }
  return true;
}

// What stays: init runs on it, or it holds nothing that lasts.
bool IsKept(const char* target) {
  static constexpr const char* kTrees[] = {"/proc", "/sys", "/dev"};
  if (strcmp(target, "/") == 0 || strcmp(target, "/run") == 0) return true;
  for (const char* tree : kTrees) {
    size_t size = strlen(tree);
    if (strncmp(target, tree, size) == 0 && (target[size] == '\0' || target[size] == '/')) return true;
  }
  return false;
}

void Remember(const char* source, Devices& devices) {
  if (strncmp(source, "/dev/", 5) != 0 || strlen(source) >= sizeof devices.path[0]) return;
  for (size_t i = 0; i < devices.count; ++i) {
    if (strcmp(devices.path[i], source) == 0) return;
  }
  if (devices.count < kMaxDevices) strcpy(devices.path[devices.count++], source);
}

// One pass over the table, last mounted first; how many are left. `flags` as umount2 takes them.
size_t Pass(int flags, Devices& devices) {
  size_t left = 0;
  for (size_t i = g_table.count; i-- > 0;) {
    const MountLine& mount = g_table.mounts[i];
    if (IsKept(mount.target)) continue;
    Remember(mount.source, devices);
    if (::umount2(mount.target, flags | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT) continue;
    ++left;
    if (flags & MNT_DETACH) Log(Level::kWarning, "detach %s: errno %d", mount.target, errno);
  }
  return left;
}

void Sleep(uint64_t nanoseconds) {
  timespec time = {.tv_sec = 0, .tv_nsec = static_cast<long>(nanoseconds)};
  ::nanosleep(&time, nullptr);
}

// umount can succeed while another mount, an overlay's say, still pins the file system: only an
// exclusive open tells that the device is free.
bool IsReleased(const char* device) {
  UniqueFd fd(::open(device, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK));
  return fd.ok() || errno != EBUSY;
}

bool AllReleased(const Devices& devices, uint64_t deadline) {
  for (size_t i = 0; i < devices.count; ++i) {
    while (!IsReleased(devices.path[i])) {
      if (Now() >= deadline) {
        Log(Level::kWarning, "%s is still in use", devices.path[i]);
        return false;
      }
      Sleep(50 * kMillisecond);
    }
  }
  return true;
}

// Every file system read-only, mounted or detached: clean on disk, though somebody still holds it.
void ForceReadOnly() {
  UniqueFd trigger(::open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC));
  if (trigger.ok() && ::write(trigger.get(), "u", 1) == 1) Sleep(300 * kMillisecond);  // it works behind our back
}

// Undoes mountinfo's \040 and the like.
void Unescape(char* text) {
  char* out = text;
  for (const char* at = text; *at != '\0';) {
    if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' && at[3] >= '0' && at[3] <= '7') {
      *out++ = static_cast<char>((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
      at += 4;
    } else {
      *out++ = *at++;
    }
  }
  *out = '\0';
}

}  // namespace

// 36 35 98:0 /root /target rw,noatime shared:1 … - ext4 /dev/source rw
bool ParseMountLine(char* line, MountLine& mount) {
  char* rest = line;
  char* fields[6] = {};
  for (char*& field : fields) {
    if ((field = strtok_r(rest, " ", &rest)) == nullptr) return false;
  }
  for (char* word; (word = strtok_r(rest, " ", &rest)) != nullptr;) {
    if (strcmp(word, "-") != 0) continue;
    char* type = strtok_r(rest, " ", &rest);
    char* source = strtok_r(rest, " ", &rest);
    if (type == nullptr || source == nullptr) return false;
    Unescape(fields[4]);
    Unescape(source);
    mount = {fields[4], source};
    return true;
  }
  return false;
}

int UnmountAll(const UnmountOptions& options) {
  // The last fifth is for what has to be done when it does not work.
  uint64_t now = Now();
  uint64_t retry_until = options.deadline_ns > now ? now + (options.deadline_ns - now) / 5 * 4 : now;
  Devices devices;
  int answer = 0;
  while (true) {
    if (!ReadTable()) return kNoTable;
    if (Pass(0, devices) == 0) break;
    if (Now() >= retry_until) {
      answer |= kDetached;
      Pass(MNT_DETACH, devices);
      break;
    }
    Sleep(50 * kMillisecond);
  }
  if (options.whole_machine && !AllReleased(devices, retry_until)) {
    answer |= kDeviceBusy;
    ForceReadOnly();
  }
  return answer;
}

}  // namespace stele::init
