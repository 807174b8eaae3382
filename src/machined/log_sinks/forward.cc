#include "machined/log_sinks/forward.h"

#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/landlock.h"
#include "machined/log_sinks/sink_connection.h"

namespace stele::machined {
namespace {

constexpr uid_t kForwardUser = 904;  // image/etc/passwd
constexpr int kWrongUse = 64, kNotConfined = 70;
constexpr absl::Duration kFirstPause = absl::Milliseconds(500), kLongestPause = absl::Seconds(30);
// A connection that stood so long was a good one: the next attempt comes soon.
constexpr absl::Duration kStoodFirm = absl::Seconds(10);
constexpr absl::Duration kTellEvery = absl::Milliseconds(200);

struct Limit {
  __rlimit_resource resource;
  rlim_t value;
};
constexpr Limit kLimits[] = {
    {RLIMIT_AS, 256 << 20}, {RLIMIT_CORE, 0}, {RLIMIT_FSIZE, 0}, {RLIMIT_NOFILE, 16}, {RLIMIT_NPROC, 8},
};

// Root's capabilities go with its user. A step that fails is told.
bool Confine(const char*& step) {
  for (const Limit& limit : kLimits) {
    rlimit both = {limit.value, limit.value};
    step = "set a limit";
    if (::setrlimit(limit.resource, &both) != 0) return false;
  }
  step = "give up new privileges";
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  step = "enter Landlock";  // libraries, certificates and name servers may be read, nothing else
  errno = EnterLandlock({"/usr", "/etc"});
  if (errno != 0) return false;
  step = "become user 904";
  if (::geteuid() != 0) return true;  // who is no root has nothing to lose
  return ::setgroups(0, nullptr) == 0 && ::setresgid(kForwardUser, kForwardUser, kForwardUser) == 0 &&
         ::setresuid(kForwardUser, kForwardUser, kForwardUser) == 0;
}

// Standard input as blobs of their lengths.
class Input {
 public:
  enum class Got : unsigned char { kWhole, kNotYet, kEnd };

  // Waits for a whole one.
  Got Read(uint32_t most, std::string& blob) {
    Got got;
    while ((got = Take(most, blob)) == Got::kNotYet) Fill();
    return got;
  }
  // One of what was read, or kNotYet. What is too long to be one is an end.
  Got Take(uint32_t most, std::string& blob) {
    uint32_t size;
    if (bytes_.size() - at_ >= sizeof size) {
      std::memcpy(&size, bytes_.data() + at_, sizeof size);
      if (size > most) return Got::kEnd;
      if (bytes_.size() - at_ - sizeof size >= size) {
        blob.assign(bytes_, at_ + sizeof size, size);
        at_ += sizeof size + size;
        return Got::kWhole;
      }
    }
    return ended_ ? Got::kEnd : Got::kNotYet;
  }
  // Reads once.
  void Fill() {
    bytes_.erase(0, std::exchange(at_, 0));
    char piece[64 << 10];
    ssize_t got = ::read(STDIN_FILENO, piece, sizeof piece);
    if (got > 0) bytes_.append(piece, got);
    if (got == 0 || (got < 0 && errno != EINTR)) ended_ = true;
  }

 private:
  std::string bytes_;
  size_t at_ = 0;
  bool ended_ = false;
};

// What machined is told. It always reads; who is gone ends us by closing the input.
class Teller {
 public:
  void Say(absl::string_view what, const absl::Status& why = absl::OkStatus()) {
    FlushSent();
    std::string line(what);
    if (!why.ok()) absl::StrAppend(&line, " ", why.message());
    for (char& c : line) c = static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    line.resize(std::min<size_t>(line.size(), 400));
    WriteAll(STDOUT_FILENO, line + "\n").IgnoreError();  // nobody is there: the input ends too
  }
  void Sent() {
    ++sent_;
    if (absl::Now() - told_ >= kTellEvery) FlushSent();
  }
  void FlushSent() {
    if (sent_ > 0) WriteAll(STDOUT_FILENO, absl::StrCat("sent ", sent_, "\n")).IgnoreError();
    sent_ = 0;
    told_ = absl::Now();
  }
  bool unsaid() const { return sent_ > 0; }

 private:
  uint64_t sent_ = 0;
  absl::Time told_ = absl::Now();
};

class Forwarder {
 public:
  explicit Forwarder(SinkTarget target) : target_(std::move(target)) {}

  int Run() {
    Input input;
    for (std::string* blob : {&target_.ca, &target_.certificate, &target_.key}) {
      if (input.Read(kMaxForwardBlob, *blob) != Input::Got::kWhole) return kWrongUse;
    }
    while (true) {
      if (connection_ == nullptr && !Connect()) {
        if (!Pause()) return 0;
        continue;
      }
      if (!have_record_) {
        Input::Got got = input.Take(kMaxForwardRecord, record_);
        if (got == Input::Got::kEnd) {
          teller_.FlushSent();
          return 0;
        }
        if (got == Input::Got::kNotYet) {
          WaitForEither(input);
          continue;
        }
        have_record_ = true;
      }
      if (absl::Status sent = connection_->Send(record_); !sent.ok()) {
        Lose(sent);
        continue;
      }
      have_record_ = false;
      teller_.Sent();
    }
  }

 private:
  bool Connect() {
    absl::StatusOr<std::unique_ptr<SinkConnection>> made = SinkConnection::Open(target_);
    if (!made.ok()) {
      teller_.Say("failed", made.status());
      return false;
    }
    connection_ = *std::move(made);
    since_ = absl::Now();
    teller_.Say("connected");
    return true;
  }

  // False when there is nothing more to do: who started us is gone.
  bool Pause() {
    absl::Duration pause = pause_ * std::uniform_real_distribution<double>(0.75, 1.25)(random_);
    pause_ = std::min(pause_ * 2, kLongestPause);
    pollfd input = {.fd = STDIN_FILENO, .events = 0};  // only that it is closed
    return ::poll(&input, 1, static_cast<int>(absl::ToInt64Milliseconds(pause))) <= 0;
  }

  void Lose(const absl::Status& why) {
    connection_ = nullptr;
    if (absl::Now() - since_ >= kStoodFirm) pause_ = kFirstPause;
    teller_.Say("lost", why);
    // Not at once: a receiver that takes connections and closes them would be called thousands of times.
    absl::SleepFor(std::min(pause_, kFirstPause));
  }

  // Until there is something to send, or the receiver has said something: mostly that it is gone.
  void WaitForEither(Input& input) {
    pollfd both[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = connection_->fd(), .events = POLLIN}};
    int wait = teller_.unsaid() ? static_cast<int>(absl::ToInt64Milliseconds(kTellEvery)) : -1;
    int ready = ::poll(both, 2, wait);
    if (ready == 0) teller_.FlushSent();
    if (ready <= 0) return;
    if (both[0].revents != 0) input.Fill();
    if (both[1].revents == 0) return;
    if (absl::Status status = connection_->Listen(); !status.ok()) Lose(status);
  }

  SinkTarget target_;
  std::unique_ptr<SinkConnection> connection_;
  absl::Time since_;
  std::string record_;
  bool have_record_ = false;
  absl::Duration pause_ = kFirstPause;
  std::mt19937 random_{std::random_device()()};
  Teller teller_;
};

}  // namespace

int ForwardMain(int argc, char** argv) {
  absl::optional<SinkProtocol> protocol = argc == 4 ? ParseSinkProtocol(argv[1]) : absl::nullopt;
  if (!protocol.has_value()) {
    fprintf(stderr, "forward: usage: forward tcp|tls|udp HOST PORT, with what to send on standard input\n");
    return kWrongUse;
  }
  ::signal(SIGPIPE, SIG_IGN);
  const char* step = "";
  if (!Confine(step)) {
    Teller().Say("failed", ErrnoStatus(step));
    return kNotConfined;
  }
  return Forwarder({*protocol, argv[2], argv[3]}).Run();
}

}  // namespace stele::machined
