#include "machined/owner_loop.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "machined/worker_pool.h"

namespace stele::machined {
namespace {

// Enough that a slow disk, a slow containerd and a probe do not wait for one another.
constexpr size_t kWorkers = 4;

// The functions posted, and the eventfd that tells of them. Apart from the loop, so that a worker
// that outlives Stop posts into something that is still there.
class Mailbox : public FdHandler {
 public:
  explicit Mailbox(UniqueFd wake) : wake_(std::move(wake)) {}

  void Post(std::function<void()> work) {
    bool first;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (closed_) return;
      first = posted_.empty();
      posted_.push_back(std::move(work));
    }
    if (first) Wake();
  }

  void Wake() {
    uint64_t one = 1;
    if (::write(wake_.get(), &one, sizeof one) < 0) return;  // full counter: it is awake already
  }

  void OnReady(uint32_t) override {
    uint64_t count;
    if (::read(wake_.get(), &count, sizeof count) < 0) return;
    std::deque<std::function<void()>> turn;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      turn.swap(posted_);
    }
    for (std::function<void()>& work : turn) work();
  }

  void Close() {
    std::deque<std::function<void()>> dropped;
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    dropped.swap(posted_);
  }

  int fd() const { return wake_.get(); }

 private:
  UniqueFd wake_;
  std::mutex mutex_;
  std::deque<std::function<void()>> posted_;
  bool closed_ = false;
};

// Timers of the owner thread on one timerfd.
class Timers : public FdHandler {
 public:
  explicit Timers(UniqueFd timer) : timer_(std::move(timer)) {}

  OwnerLoop::TimerId After(absl::Duration delay, std::function<void()> work) {
    OwnerLoop::TimerId id = ++last_id_;
    auto due =
        by_time_.emplace(Now() + std::max<int64_t>(0, absl::ToInt64Nanoseconds(delay)), Timer{id, std::move(work)});
    by_id_.emplace(id, due);
    if (due == by_time_.begin()) Arm();
    return id;
  }

  void Cancel(OwnerLoop::TimerId id) {
    auto found = by_id_.find(id);
    if (found == by_id_.end()) return;
    by_time_.erase(found->second);
    by_id_.erase(found);
  }

  void OnReady(uint32_t) override {
    uint64_t expirations;
    if (::read(timer_.get(), &expirations, sizeof expirations) < 0 && errno != EAGAIN) return;
    // Only what was due when the turn began: a timer that sets itself again cannot starve the rest.
    int64_t now = Now();
    OwnerLoop::TimerId newest = last_id_;
    while (!by_time_.empty() && by_time_.begin()->first <= now && by_time_.begin()->second.id <= newest) {
      Timer timer = std::move(by_time_.begin()->second);
      by_time_.erase(by_time_.begin());
      by_id_.erase(timer.id);
      timer.work();
    }
    Arm();
  }

  int fd() const { return timer_.get(); }

 private:
  struct Timer {
    OwnerLoop::TimerId id;
    std::function<void()> work;
  };

  static int64_t Now() {
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
  }

  void Arm() {
    itimerspec spec = {};
    if (!by_time_.empty()) {
      int64_t due = std::max<int64_t>(1, by_time_.begin()->first);  // 0 would disarm
      spec.it_value = {.tv_sec = due / 1'000'000'000, .tv_nsec = due % 1'000'000'000};
    }
    ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
  }

  UniqueFd timer_;
  std::multimap<int64_t, Timer> by_time_;
  std::map<OwnerLoop::TimerId, std::multimap<int64_t, Timer>::iterator> by_id_;
  OwnerLoop::TimerId last_id_ = 0;
};

class OwnerLoopImpl : public OwnerLoop {
 public:
  OwnerLoopImpl(EventLoop events, UniqueFd wake, UniqueFd timer)
      : events_(std::move(events)), mailbox_(std::make_shared<Mailbox>(std::move(wake))), timers_(std::move(timer)) {}

  absl::Status Register() {
    RETURN_IF_ERROR(events_.Add(mailbox_->fd(), EPOLLIN, mailbox_.get()));
    return events_.Add(timers_.fd(), EPOLLIN, &timers_);
  }

  ~OwnerLoopImpl() override { mailbox_->Close(); }

  void Post(std::function<void()> work) override { mailbox_->Post(std::move(work)); }

  void RunBlocking(std::function<void()> work, std::function<void()> done) override {
    workers_.Add([work = std::move(work), done = std::move(done), mailbox = mailbox_]() mutable {
      work();
      work = nullptr;
      mailbox->Post(std::move(done));
    });
  }

  TimerId After(absl::Duration delay, std::function<void()> work) override {
    return timers_.After(delay, std::move(work));
  }
  void Cancel(TimerId timer) override { timers_.Cancel(timer); }
  EventLoop& events() override { return events_; }
  bool OnOwnerThread() const override { return owner_.load() == std::this_thread::get_id(); }

  void Run() override {
    owner_ = std::this_thread::get_id();
    while (!stopping_) {
      // epoll_wait fails only where we broke its arguments; a machined that cannot wait must end
      // and be started again rather than spin.
      if (!events_.RunOnce(-1).ok()) break;
    }
    mailbox_->Close();
  }

  void Stop() override {
    stopping_ = true;
    mailbox_->Wake();
  }

 private:
  EventLoop events_;
  std::shared_ptr<Mailbox> mailbox_;
  Timers timers_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::thread::id> owner_ = std::thread::id();
  WorkerPool workers_{kWorkers};  // last: its threads end before what they use
};

}  // namespace

absl::StatusOr<std::unique_ptr<OwnerLoop>> OwnerLoop::Create() {
  ASSIGN_OR_RETURN(EventLoop events, EventLoop::Create());
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.ok()) return ErrnoStatus("create an eventfd");
  UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.ok()) return ErrnoStatus("create a timerfd");
  auto loop = std::make_unique<OwnerLoopImpl>(std::move(events), std::move(wake), std::move(timer));
  RETURN_IF_ERROR(loop->Register());
  return loop;
}

}  // namespace stele::machined
