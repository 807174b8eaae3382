#include "machined/event_log.h"

#include <cstdlib>

#include "base/file.h"
#include "gtest/gtest.h"

namespace stele::machined {
namespace {

class EventLogTest : public testing::Test {
 protected:
  EventLogTest() {
    char path[] = "/tmp/event_log_test.XXXXXX";
    directory_ = ::mkdtemp(path);
    path_ = directory_ + "/events";
  }
  ~EventLogTest() override {
    ::unlink(path_.c_str());
    ::rmdir(directory_.c_str());
  }
  static machine::v1::Event Event(const std::string& message) {
    machine::v1::Event event;
    event.set_message(message);
    return event;
  }
  std::string directory_;
  std::string path_;
};

TEST_F(EventLogTest, IdsAndEventsContinueAfterRestart) {
  {
    EventLog log(path_);
    log.Add(Event("one"));
    log.Add(Event("two"));
  }
  EventLog log(path_);
  log.Add(Event("three"));
  auto events = log.After(1);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]->message(), "two");
  EXPECT_EQ(events[1]->id(), 3u);
}

TEST_F(EventLogTest, RecordCutOffByAKillIsDropped) {
  {
    EventLog log(path_);
    log.Add(Event("one"));
    log.Add(Event("two"));
  }
  std::string bytes = *ReadFile(path_);
  ASSERT_EQ(::truncate(path_.c_str(), bytes.size() - 2), 0);
  {
    EventLog log(path_);
    log.Add(Event("again"));
  }
  EventLog log(path_);
  auto events = log.After(0);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1]->message(), "again");
  EXPECT_EQ(events[1]->id(), 2u);
}

TEST_F(EventLogTest, KeepsTheLastOnesAndTheFileStaysBounded) {
  EventLog log(path_);
  for (int i = 0; i < 10'000; ++i) log.Add(Event(std::string(100, 'x')));
  EXPECT_EQ(log.After(0).size(), EventLog::kKept);
  EXPECT_EQ(log.After(0).back()->id(), 10'000u);
  EXPECT_LT(ReadFile(path_)->size(), 130 * 2 * EventLog::kKept);
}

TEST_F(EventLogTest, SubscribersHearOfNewOnes) {
  EventLog log(path_);
  int heard = 0;
  EventLog::SubscriptionId id = log.Subscribe([&](const EventPtr&) {
    ++heard;
    log.Unsubscribe(id);
  });
  log.Add(Event("a"));
  log.Add(Event("b"));
  EXPECT_EQ(heard, 1);
}

}  // namespace
}  // namespace stele::machined
