// How far long work is, on a terminal: bytes, rate, time left; of several nodes in one line.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "absl/time/time.h"
#include "osctl/console.h"

namespace stele::osctl {

// Bytes over time. What was there at the beginning does not count for the rate.
class Meter {
 public:
  // `total` 0: nobody knows.
  Meter(uint64_t done, uint64_t total, absl::Time now) : begun_with_(done), done_(done), total_(total), began_(now) {}

  void set_done(uint64_t done) { done_ = done; }
  uint64_t done() const { return done_; }
  uint64_t moved() const { return done_ > begun_with_ ? done_ - begun_with_ : 0; }
  uint64_t total() const { return total_; }

  // "12.5MiB of 40.0MiB, 31%, 24.1MiB/s, 1s left".
  std::string Text(absl::Time now) const;
  // "31% 24.1MiB/s".
  std::string Short(absl::Time now) const;
  // "12.5MiB in 520ms, 24.1MiB/s": what was moved.
  std::string Summary(absl::Time now) const;

 private:
  double BytesPerSecond(absl::Time now) const;
  std::string Rate(absl::Time now) const;

  uint64_t begun_with_;
  uint64_t done_;
  uint64_t total_;
  absl::Time began_;
};

// The line on the console, shared by the threads of a command. Off a terminal it shows nothing.
class Progress {
 public:
  explicit Progress(Console& console) : console_(console) {}
  ~Progress() { console_.Status(""); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `name` is a node's; "" when there is but one. `doing`: "sends", "verifies". Begins the meter anew.
  void Begin(const std::string& name, absl::string_view doing, uint64_t done, uint64_t total);
  void Set(const std::string& name, uint64_t done);
  // Words instead of a meter: "waits for the kubelet".
  void Say(const std::string& name, absl::string_view doing);
  // Takes the node's part away; its summary.
  std::string End(const std::string& name);

 private:
  struct Entry {
    std::string doing;
    bool metered = false;
    Meter meter{0, 0, absl::InfinitePast()};
  };
  enum class Urgency : unsigned char { kNow, kSoon };
  void Show(Urgency urgency);  // with the lock held

  Console& console_;
  std::mutex mutex_;
  std::map<std::string, Entry> entries_;
  absl::Time shown_ = absl::InfinitePast();
};

}  // namespace stele::osctl
