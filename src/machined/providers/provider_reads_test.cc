#include "machined/providers/provider_reads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "stele/resource/v1/kernel.pb.h"

namespace stele::machined {
namespace {

std::atomic<int> reads;
std::promise<void>* gate = nullptr;

absl::StatusOr<Provided> ReadSlowly() {
  ++reads;
  if (gate != nullptr) gate->get_future().wait();
  Provided all;
  Provide<resource::v1::Memory>(all, "node");
  return all;
}

absl::StatusOr<Provided> ReadAtOnce() { return Provided(); }

constexpr Provider kSlow = {"memory", "test", ReadSlowly};
constexpr Provider kQuick = {"cpus", "test", ReadAtOnce};

class ProviderReadsTest : public testing::Test {
 protected:
  ProviderReadsTest() : loop_(*OwnerLoop::Create()), reads_(std::make_unique<ProviderReads>(*loop_)) {
    reads = 0;
    gate = nullptr;
    thread_ = std::thread([this] { loop_->Run(); });
  }
  ~ProviderReadsTest() override {
    loop_->Stop();
    thread_.join();
    reads_.reset();
  }

  std::unique_ptr<OwnerLoop> loop_;
  std::unique_ptr<ProviderReads> reads_;
  std::thread thread_;
};

TEST_F(ProviderReadsTest, ManyWhoAskShareTheNextReading) {
  std::promise<void> open;
  gate = &open;
  std::atomic<int> answers = 0;
  std::promise<void> first;
  reads_->Read(kSlow, [&](const ProviderReads::Result& result) {
    EXPECT_EQ(result->size(), 1u);
    ++answers;
    first.set_value();
  });
  while (reads == 0) std::this_thread::yield();
  std::promise<void> last;
  for (int i = 0; i < 100; ++i) {
    reads_->Read(kSlow, [&answers, &last](const ProviderReads::Result& result) {
      EXPECT_TRUE(result.ok());
      if (++answers == 101) last.set_value();
    });
  }
  // Another type does not wait for it.
  std::promise<void> quick;
  reads_->Read(kQuick, [&](const ProviderReads::Result&) { quick.set_value(); });
  EXPECT_EQ(quick.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(reads, 1);
  gate = nullptr;
  open.set_value();
  ASSERT_EQ(last.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(reads, 2) << "one that was under way, and one that began after the others had asked";
  EXPECT_EQ(answers, 101);
}

TEST_F(ProviderReadsTest, TooManyAreTurnedAway) {
  std::promise<void> open;
  gate = &open;
  std::atomic<int> refused = 0;
  std::atomic<int> answered = 0;
  auto count = [&](const ProviderReads::Result& result) { ++(result.ok() ? answered : refused); };
  reads_->Read(kSlow, count);
  while (reads == 0) std::this_thread::yield();
  for (int i = 0; i < 300; ++i) reads_->Read(kSlow, count);
  while (refused < 44) std::this_thread::yield();
  gate = nullptr;
  open.set_value();
  while (answered < 257) std::this_thread::yield();
  EXPECT_EQ(refused, 44);
}

}  // namespace
}  // namespace stele::machined
