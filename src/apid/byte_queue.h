// Bytes on their way from one socket to another. How many may wait is the sender's window, not ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace stele {

class ByteQueue {
 public:
  bool empty() const { return head_ == bytes_.size(); }
  size_t size() const { return bytes_.size() - head_; }
  const uint8_t* data() const { return bytes_.data() + head_; }

  void Append(const uint8_t* data, size_t size) {
    // Move what is left to the front once it is the smaller part, so that a queue which never runs
    // empty does not grow for ever.
    if (head_ > 0 && head_ >= bytes_.size() - head_) {
      bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(head_));
      head_ = 0;
    }
    bytes_.insert(bytes_.end(), data, data + size);
  }

  void Pop(size_t size) {
    head_ += size;
    if (head_ < bytes_.size()) return;
    head_ = 0;
    bytes_.clear();  // keeps the memory: a busy connection needs it again at once
  }

  // Gives the memory back when nothing waits.
  void Release() {
    if (empty() && bytes_.capacity() > 0) std::vector<uint8_t>().swap(bytes_);
  }

 private:
  std::vector<uint8_t> bytes_;
  size_t head_ = 0;
};

}  // namespace stele
