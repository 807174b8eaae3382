// A file somewhere else, read from an offset on. A connection that breaks is begun again where it broke: with growing
// pauses, and until so many tries in a row brought nothing. Knows no protocol; http_stream.h brings that.
// Blocks; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "base/status.h"
#include "machined/upgrade/chunks.h"
#include "machined/upgrade/rate_floor.h"

namespace stele::machined {

// One connection.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // The next bytes; "" at the file's end. UNAVAILABLE for what another try may mend, DEADLINE_EXCEEDED when nothing
  // came for `patience`; every other code is for good.
  virtual absl::StatusOr<std::string> Read(absl::Duration patience) = 0;
};

class RemoteFile {
 public:
  struct Parts {
    // Connects; the stream begins at `offset`.
    std::function<absl::StatusOr<std::unique_ptr<ByteStream>>(uint64_t offset)> open;
    // Asked several times a second while it waits; its error ends that.
    KeepGoing keep_going;
    // What it waits for; "" when bytes come again.
    std::function<void(const std::string& message)> tell;
    std::function<void(absl::Duration)> sleep;
  };
  struct Patience {
    int tries = 10;                              // in a row that brought less than `fruitful`
    uint64_t fruitful = 1 << 20;                 // bytes that make a try count as none
    absl::Duration silence = absl::Seconds(30);  // of one connection
    absl::Duration longest_pause = absl::Seconds(30);
  };
  RemoteFile(Parts parts, Patience patience) : parts_(std::move(parts)), patience_(patience) {}

  // Some bytes from `offset` on; "" when the file ends there. ABORTED once patience has ended, with the last
  // reason.
  absl::StatusOr<std::string> ReadAt(uint64_t offset);

  // The first `size` bytes, which stay for ReadAt. OUT_OF_RANGE when the file is shorter.
  absl::StatusOr<absl::string_view> ReadHead(size_t size);

 private:
  absl::StatusOr<std::string> ReadSome();
  absl::StatusOr<std::string> ReadOnce();
  absl::Status Pause(const absl::Status& reason);

  Parts parts_;
  Patience patience_;
  std::string head_;  // the file's first bytes, as far as ReadHead read them
  std::unique_ptr<ByteStream> stream_;
  uint64_t position_ = 0;  // of the stream
  uint64_t brought_ = 0;   // bytes since it was opened
  int fruitless_ = 0;
  bool waits_ = false;
  RateFloor floor_;
};

}  // namespace stele::machined
