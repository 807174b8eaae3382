#include "machined/owner_loop.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace stele::machined {
namespace {

std::unique_ptr<OwnerLoop> MakeLoop() {
  auto loop = OwnerLoop::Create();
  EXPECT_TRUE(loop.ok()) << loop.status();
  return *std::move(loop);
}

TEST(OwnerLoop, RunsPostsOfOneThreadInOrder) {
  auto loop = MakeLoop();
  std::vector<int> order;
  std::thread poster([&] {
    for (int i = 0; i < 1000; ++i) loop->Post([&, i] { order.push_back(i); });
    loop->Post([&] { loop->Stop(); });
  });
  loop->Run();
  poster.join();
  ASSERT_EQ(order.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[i], i);
}

TEST(OwnerLoop, TimersRunByTimeAndCancelledOnesNever) {
  auto loop = MakeLoop();
  std::string order;
  loop->After(absl::Milliseconds(30), [&] {
    order += 'c';
    loop->Stop();
  });
  loop->After(absl::Milliseconds(10), [&] { order += 'a'; });
  auto cancelled = loop->After(absl::Milliseconds(15), [&] { order += 'x'; });
  loop->After(absl::Milliseconds(20), [&] { order += 'b'; });
  loop->After(absl::Milliseconds(12), [&] { loop->Cancel(cancelled); });
  loop->Run();
  EXPECT_EQ(order, "abc");
}

TEST(OwnerLoop, TimerThatSetsItselfAgainDoesNotStarvePosts) {
  auto loop = MakeLoop();
  int turns = 0;
  std::function<void()> again = [&] {
    ++turns;
    loop->After(absl::ZeroDuration(), again);
  };
  loop->After(absl::ZeroDuration(), again);
  loop->After(absl::Milliseconds(20), [&] { loop->Post([&] { loop->Stop(); }); });
  loop->Run();
  EXPECT_GT(turns, 1);
}

TEST(OwnerLoop, BlockingWorkRunsElsewhereAndItsEndOnTheOwnerThread) {
  auto loop = MakeLoop();
  std::atomic<int> working = 0;
  int finished = 0;
  std::atomic<bool> on_owner_in_work = false;
  for (int i = 0; i < 20; ++i) {
    loop->RunBlocking(
        [&] {
          if (loop->OnOwnerThread()) on_owner_in_work = true;
          ++working;
        },
        [&] {
          EXPECT_TRUE(loop->OnOwnerThread());
          if (++finished == 20) loop->Stop();
        });
  }
  loop->Run();
  EXPECT_EQ(working, 20);
  EXPECT_FALSE(on_owner_in_work);
}

TEST(OwnerLoop, PostsAfterStopAreDropped) {
  auto loop = MakeLoop();
  loop->Stop();
  loop->Run();
  bool ran = false;
  loop->Post([&] { ran = true; });
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace stele::machined
