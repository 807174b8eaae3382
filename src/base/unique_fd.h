// A file descriptor and the duty to close it.
#pragma once

#include <unistd.h>

#include <utility>

namespace stele {

// Owns one descriptor, or none (-1). Moves; never copies. Open with O_CLOEXEC always: handing a
// descriptor to a child is one named act elsewhere.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  bool ok() const { return fd_ >= 0; }
  // Borrows.
  int get() const { return fd_; }
  // Gives the duty to close away.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    int old = std::exchange(fd_, fd);
    if (old >= 0) ::close(old);  // close reports write errors too late to act; writers fsync
  }

 private:
  int fd_ = -1;
};

}  // namespace stele
