// The pipe that a service writes its standard output and error to.
//
// It belongs to init and lives as long as the service is defined: machined reads it through a
// duplicate and may die at any moment, and what was written in between waits in the pipe. When
// nobody reads and the pipe is full, the oldest bytes are thrown away and counted, so a writer
// never waits for more than 100 ms.
#pragma once

#include <string>

#include "base/event_loop.h"
#include "init/clock.h"

namespace stele::init {

class LogPipe : public FdHandler {
 public:
  static constexpr int kCapacity = 256 * 1024;
  static constexpr uint64_t kCheckNs = 25 * kMillisecond;
  static constexpr int kPatience = 2;  // checks for which a reader that is there may not have moved

  explicit LogPipe(EventLoop& loop) : loop_(loop) {}
  ~LogPipe() override;
  LogPipe(const LogPipe&) = delete;
  LogPipe& operator=(const LogPipe&) = delete;

  int Create();  // 0 or errno; a second call does nothing
  int read_end() const { return read_.get(); }
  int write_end() const { return write_.get(); }

  // When Check wants to be called; kNever while nothing was written.
  uint64_t next_check() const { return next_check_; }
  // Throws away where that is due. `has_reader`: somebody is there who should be reading. Then
  // only a pipe that stayed full for kPatience checks without a byte moving counts as unread. True when it dropped.
  bool Check(uint64_t now, bool has_reader);
  // Takes everything out; the last `most` bytes of it. For the end of a trial, when no reader is left.
  std::string TakeTail(size_t most);
  uint64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  void OnReady(uint32_t events) override;
  bool IsFull() const;
  uint64_t HeadFingerprint() const;
  void Discard();

  EventLoop& loop_;
  UniqueFd read_, write_;
  uint64_t next_check_ = kNever;
  uint64_t full_head_ = 0;  // fingerprint when it was last seen full; 0 when it was not
  int unmoved_ = 0;         // checks since
  uint64_t dropped_bytes_ = 0;
};

}  // namespace stele::init
