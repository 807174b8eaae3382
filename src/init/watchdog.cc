#include "init/watchdog.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>

namespace stele::init {

absl::Status Watchdog::Open(int timeout_seconds, const char* path) {
  device_ = UniqueFd(::open(path, O_WRONLY | O_CLOEXEC));
  if (!device_.ok()) return ErrnoStatus("open ", path);
  SetUp(timeout_seconds);
  return absl::OkStatus();
}

absl::Status Watchdog::Adopt(int fd) {
  watchdog_info info = {};
  if (::ioctl(fd, WDIOC_GETSUPPORT, &info) != 0) return ErrnoStatus("take over the watchdog");
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  device_ = UniqueFd(fd);
  SetUp(kTimeoutSeconds);
  return absl::OkStatus();
}

int Watchdog::HandOver() {
  if (!device_.ok()) return -1;
  ::ioctl(device_.get(), WDIOC_KEEPALIVE, 0);
  ::fcntl(device_.get(), F_SETFD, 0);
  return device_.release();
}

void Watchdog::SetUp(int timeout_seconds) {
  ::ioctl(device_.get(), WDIOC_SETTIMEOUT,
          &timeout_seconds);  // refused: the device's own, which is longer than kFeedEvery
  int status = 0;
  reset_machine_ = ::ioctl(device_.get(), WDIOC_GETBOOTSTATUS, &status) == 0 && (status & WDIOF_CARDRESET) != 0;
  next_feed_ = 0;
  Feed(Now());
}

void Watchdog::Feed(uint64_t now) {
  if (!device_.ok() || now < next_feed_) return;
  ::ioctl(device_.get(), WDIOC_KEEPALIVE, 0);
  next_feed_ = now + kFeedEvery;
}

}  // namespace stele::init
