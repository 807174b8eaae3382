#include "machined/network_debug/stop.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <thread>

#include "machined/uptime.h"

namespace stele::machined {
namespace {

TEST(Stop, EndsAWaitAtOnce) {
  absl::StatusOr<std::unique_ptr<Stop>> stop = Stop::Create();
  ASSERT_TRUE(stop.ok());
  EXPECT_FALSE((*stop)->requested());
  absl::Duration began = Uptime();
  std::thread other([&] { (*stop)->Request(); });
  EXPECT_TRUE(absl::IsCancelled((*stop)->Wait(-1, 0, began + absl::Seconds(20))));
  EXPECT_LT(Uptime() - began, absl::Seconds(10));
  other.join();
  EXPECT_TRUE((*stop)->requested());
  EXPECT_TRUE(absl::IsCancelled((*stop)->Wait(-1, 0, began)));
}

TEST(Stop, WaitsForADescriptorAndNoLongerThanToldTo) {
  absl::StatusOr<std::unique_ptr<Stop>> stop = Stop::Create();
  ASSERT_TRUE(stop.ok());
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  UniqueFd read(ends[0]), write(ends[1]);
  EXPECT_TRUE(absl::IsDeadlineExceeded((*stop)->Wait(read.get(), POLLIN, Uptime() + absl::Milliseconds(20))));
  ASSERT_EQ(::write(write.get(), "x", 1), 1);
  EXPECT_TRUE((*stop)->Wait(read.get(), POLLIN, Uptime() + absl::Seconds(20)).ok());
  // Who sends without end is no reason to go on.
  EXPECT_TRUE(absl::IsDeadlineExceeded((*stop)->Wait(read.get(), POLLIN, Uptime() - absl::Seconds(1))));
}

}  // namespace
}  // namespace stele::machined
