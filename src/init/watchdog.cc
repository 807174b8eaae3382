#include "init/watchdog.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>

namespace stele::init {

absl::Status Watchdog::Open(const char* path) {
  device_ = UniqueFd(::open(path, O_WRONLY | O_CLOEXEC));
  if (!device_.ok()) return ErrnoStatus("open ", path);
  int timeout = kTimeoutSeconds;
  ::ioctl(device_.get(), WDIOC_SETTIMEOUT, &timeout);  // refused: the device's own, which is longer than kFeedEvery
  Feed(Now());
  return absl::OkStatus();
}

void Watchdog::Feed(uint64_t now) {
  if (!device_.ok() || now < next_feed_) return;
  ::ioctl(device_.get(), WDIOC_KEEPALIVE, 0);
  next_feed_ = now + kFeedEvery;
}

}  // namespace stele::init
