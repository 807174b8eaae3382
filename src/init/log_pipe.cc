#include "init/log_pipe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

namespace stele::init {
namespace {

// One event for the first byte, then silence until Check has seen the pipe empty: init must not
// wake up for every line of every service.
constexpr uint32_t kFirstByte = EPOLLIN | EPOLLONESHOT;

}  // namespace

LogPipe::~LogPipe() {
  if (read_.ok()) loop_.Remove(read_.get(), this);
}

int LogPipe::Create() {
  if (read_.ok()) return 0;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno;
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  // Only the reading side: the flag belongs to the description, and a service's must block.
  if (::fcntl(read_end.get(), F_SETFL, O_NONBLOCK) != 0) return errno;
  ::fcntl(write_end.get(), F_SETPIPE_SZ, kCapacity);  // 64 KiB will do where it is refused
  if (!loop_.Add(read_end.get(), kFirstByte, this).ok()) return ENOMEM;
  read_ = std::move(read_end);
  write_ = std::move(write_end);
  return 0;
}

void LogPipe::OnReady(uint32_t) { next_check_ = Now() + kCheckNs; }

bool LogPipe::Check(uint64_t now, bool has_reader) {
  if (now < next_check_) return false;
  int unread = 0;
  ::ioctl(read_.get(), FIONREAD, &unread);
  if (unread == 0) {
    next_check_ = kNever;
    full_head_ = 0;
    loop_.Modify(read_.get(), kFirstByte, this).IgnoreError();  // it was added, so this cannot fail
    return false;
  }
  next_check_ = now + kCheckNs;
  if (!IsFull()) {
    full_head_ = 0;
    return false;
  }
  uint64_t head = HeadFingerprint();
  if (has_reader) {
    unmoved_ = head == full_head_ ? unmoved_ + 1 : 0;
    full_head_ = head;
    if (unmoved_ < kPatience) return false;
  }
  Discard();
  full_head_ = 0;
  return true;
}

std::string LogPipe::TakeTail(size_t most) {
  std::string tail;
  char bytes[4096];
  // Bounded: a writer may be faster than we are.
  for (int taken = 0; read_.ok() && taken < 2 * kCapacity;) {
    ssize_t got = ::read(read_.get(), bytes, sizeof bytes);
    if (got <= 0) break;
    taken += static_cast<int>(got);
    tail.append(bytes, static_cast<size_t>(got));
    if (tail.size() > most) tail.erase(0, tail.size() - most);
  }
  return tail;
}

// Asks for room, not for bytes: a pipe is full when its pages are used up, however little is in them.
bool LogPipe::IsFull() const {
  pollfd write = {.fd = write_.get(), .events = POLLOUT};
  return ::poll(&write, 1, 0) == 0;
}

// Of the first bytes and their number; the same twice means that nobody took any. Never 0.
uint64_t LogPipe::HeadFingerprint() const {
  int unread = 0;
  ::ioctl(read_.get(), FIONREAD, &unread);
  uint64_t hash = 14695981039346656037u ^ static_cast<uint64_t>(unread);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0) {
    UniqueFd copy_read(ends[0]), copy_write(ends[1]);
    uint8_t head[512];
    ssize_t got = -1;
    if (::tee(read_.get(), copy_write.get(), sizeof head, SPLICE_F_NONBLOCK) > 0) {
      got = ::read(copy_read.get(), head, sizeof head);
    }
    for (ssize_t i = 0; i < got; ++i) hash = (hash ^ head[i]) * 1099511628211u;
  }
  return hash | 1;
}

// Three quarters: often enough room for a writer to run on until the next check.
void LogPipe::Discard() {
  char bytes[4096];
  int capacity = ::fcntl(read_.get(), F_GETPIPE_SZ);
  int64_t left = (capacity > 0 ? capacity : kCapacity) / 4 * 3;
  while (left > 0) {
    ssize_t got = ::read(read_.get(), bytes, sizeof bytes);
    if (got <= 0) return;
    dropped_bytes_ += static_cast<uint64_t>(got);
    left -= got;
  }
}

}  // namespace stele::init
