// The ESP's mount: read-only, save inside a window.
#pragma once

#include <string>
#include <utility>

#include "base/status.h"

namespace stele::machined {

// While it lives the ESP can be written. Everything that was opened for writing is closed before it.
class EspWindow {
 public:
  EspWindow() = default;
  explicit EspWindow(std::string target) : target_(std::move(target)) {}
  EspWindow(EspWindow&& other) noexcept : target_(std::exchange(other.target_, "")) {}
  EspWindow& operator=(EspWindow&& other) noexcept {
    if (this == &other) return *this;
    Close().IgnoreError();
    target_ = std::exchange(other.target_, "");
    return *this;
  }
  ~EspWindow() { Close().IgnoreError(); }  // still writable then; the next window's end makes up for it

  // Syncs and makes it read-only again. OK when it was closed already.
  absl::Status Close();

 private:
  std::string target_;  // empty: nothing to close
};

class EspMount {
 public:
  // A partition, mounted at `target`.
  EspMount(std::string device, std::string target) : device_(std::move(device)), target_(std::move(target)) {}
  // A folder that is what it is: for tests.
  static EspMount Folder(std::string path) { return EspMount("", std::move(path)); }

  const std::string& target() const { return target_; }
  // Read-only, nosuid, nodev, noexec; also where it is mounted there already, whoever left it writable. No window may
  // be open.
  absl::Status MountReadOnly() const;
  absl::StatusOr<EspWindow> OpenWindow() const;

 private:
  absl::Status Mount() const;
  std::string device_;  // empty: a folder
  std::string target_;
};

}  // namespace stele::machined
