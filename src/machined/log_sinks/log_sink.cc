#include "machined/log_sinks/log_sink.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/posix_spawn.h"
#include "config/sink_endpoint.h"
#include "machined/log.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kRestartPause = absl::Seconds(5);
constexpr absl::Duration kPokePause = absl::Milliseconds(200);  // lines of that long go together
constexpr size_t kMaxBuffered = 256 << 10;                      // records that are made and not written
constexpr int kPiecesPerTurn = 32;                              // of so many bytes

std::string Counted(absl::string_view bytes) {
  uint32_t size = bytes.size();
  return absl::StrCat(absl::string_view(reinterpret_cast<const char*>(&size), sizeof size), bytes);
}

RecordFormat FormatOf(const config::v1::LogSinkConfig& config, const std::string& protocol) {
  if (config.format() != "rfc5424") return RecordFormat::kJson;
  return protocol == "udp" ? RecordFormat::kSyslogDatagram : RecordFormat::kSyslogStream;
}

}  // namespace

// One log that is read.
struct LogSink::Feed {
  std::string source;
  std::unique_ptr<LogSource> log;
  absl::Time time = absl::InfinitePast();  // of its last line
};

// What a worker turns logs into, kept between its turns.
struct LogSink::Work {
  std::vector<std::shared_ptr<Feed>> feeds;
  std::shared_ptr<UniqueFd> input;
  RecordFormat format = RecordFormat::kJson;
  RecordOrigin origin;
  size_t next = 0;  // whose turn it is

  // What was read and is no record yet.
  std::shared_ptr<Feed> of;
  LogChunk chunk;
  size_t at_line = 0, mark = 0;

  std::string bytes;  // not written yet, from `at` on
  size_t at = 0;
  uint64_t records = 0;  // made, of this program

  // Of the last turn.
  std::vector<Mark> marks;
  uint64_t lost_bytes = 0;
  bool full = false;   // the program takes no more now
  bool again = false;  // there may be more
  absl::Status status;

  bool Write() {
    while (at < bytes.size()) {
      ssize_t wrote = ::write(input->get(), bytes.data() + at, bytes.size() - at);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0 && errno == EAGAIN) {
        full = true;
        return false;
      }
      if (wrote < 0) {
        status = ErrnoStatus("write to forward");
        return false;
      }
      at += wrote;
    }
    bytes.clear();
    at = 0;
    return true;
  }

  bool HasLines() const { return at_line < chunk.data.size(); }

  // Records of the chunk's next lines: not of all at once, being many times as large.
  void MakeSome() {
    origin.source = of->source;
    absl::string_view data = chunk.data.view();
    while (HasLines() && bytes.size() < kMaxBuffered) {
      for (; mark < chunk.marks.size() && chunk.marks[mark].offset <= at_line; ++mark)
        of->time = chunk.marks[mark].time;
      size_t end = std::min(data.find('\n', at_line), data.size());
      for (const std::string& record : MakeRecords(format, origin, of->time, data.substr(at_line, end - at_line))) {
        bytes += Counted(record);
        ++records;
      }
      at_line = end + 1;
    }
    if (HasLines()) return;
    marks.push_back({records, of->source, chunk.cursor});
    chunk = LogChunk();
  }

  // One turn: what is there, from each log in turn, until nothing is or the program takes no more, or for so long that
  // somebody else may need the worker.
  void Run() {
    marks.clear();
    lost_bytes = 0;
    full = again = false;
    size_t idle = 0;
    for (int pieces = 0; Write() && pieces < kPiecesPerTurn;) {
      if (HasLines()) {
        MakeSome();
        ++pieces;
        continue;
      }
      if (idle >= feeds.size()) return;
      of = feeds[next++ % feeds.size()];
      absl::StatusOr<LogChunk> read = of->log->Next();
      // Of a log that is not to be read the others' go on.
      chunk = read.ok() ? *std::move(read) : LogChunk();
      at_line = mark = 0;
      lost_bytes += chunk.lost_bytes;
      idle = HasLines() ? 0 : idle + 1;
    }
    again = status.ok() && !full;
  }
};

// What the program says, in lines.
class LogSink::Output : public FdHandler {
 public:
  Output(LogSink& sink, UniqueFd fd) : sink_(sink), fd_(std::move(fd)) {}
  ~Output() override {
    if (watched_) sink_.hands_.loop.events().Remove(fd_.get(), this);
  }
  absl::Status Watch() {
    RETURN_IF_ERROR(sink_.hands_.loop.events().Add(fd_.get(), EPOLLIN, this));
    watched_ = true;
    return absl::OkStatus();
  }

  void OnReady(uint32_t) override {
    char bytes[4096];
    ssize_t got = ::read(fd_.get(), bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return sink_.Restart(absl::UnavailableError("forward ended"));  // which ends this object
    text_.append(bytes, got);
    std::vector<std::string> lines = absl::StrSplit(text_, '\n');
    text_ = lines.back();
    if (text_.size() > 4096) text_.clear();
    lines.pop_back();
    for (const std::string& line : lines) sink_.OnLine(line);
  }

 private:
  LogSink& sink_;
  UniqueFd fd_;
  bool watched_ = false;
  std::string text_;
};

// The program's input, while it is full.
class LogSink::Room : public FdHandler {
 public:
  Room(LogSink& sink, int fd) : sink_(sink), fd_(fd) {}
  ~Room() override {
    if (watched_) sink_.hands_.loop.events().Remove(fd_, this);
  }
  absl::Status Watch() {
    RETURN_IF_ERROR(sink_.hands_.loop.events().Add(fd_, EPOLLOUT, this));
    watched_ = true;
    return absl::OkStatus();
  }
  void OnReady(uint32_t) override {
    LogSink& sink = sink_;
    sink.room_ = nullptr;  // ends this object
    sink.Pump();
  }

 private:
  LogSink& sink_;
  int fd_;
  bool watched_ = false;
};

LogSink::LogSink(Hands hands, const config::v1::LogSinkConfig& config) : hands_(std::move(hands)), config_(config) {
  status_.set_endpoint(config.endpoint());
  status_.set_format(config.format().empty() ? "json" : config.format());
  LoadPlaces();
  Start();
}

LogSink::~LogSink() {
  *alive_ = false;
  Stop();
}

void LogSink::Start() {
  restart_ = 0;
  absl::StatusOr<config::SinkEndpoint> endpoint = config::ParseSinkEndpoint(config_.endpoint());
  if (!endpoint.ok()) return SetState("failed", std::string(endpoint.status().message()));  // the config was checked
  int in[2], out[2];
  if (::pipe2(in, O_CLOEXEC) != 0) return Restart(ErrnoStatus("make a pipe"));
  UniqueFd in_read(in[0]), in_write(in[1]);
  if (::pipe2(out, O_CLOEXEC) != 0) return Restart(ErrnoStatus("make a pipe"));
  UniqueFd out_read(out[0]), out_write(out[1]);
  // Only our ends: the program's share their flags with nobody.
  for (int fd : {in_write.get(), out_read.get()}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  absl::StatusOr<pid_t> pid =
      PosixSpawn({hands_.program, endpoint->protocol, endpoint->host, absl::StrCat(endpoint->port)}, {"LC_ALL=C"},
                 {in_read.get(), out_write.get(), STDERR_FILENO});
  if (!pid.ok()) return Restart(pid.status());
  pid_ = *pid;
  input_ = std::make_shared<UniqueFd>(std::move(in_write));
  output_ = std::make_unique<Output>(*this, std::move(out_read));
  if (absl::Status status = output_->Watch(); !status.ok()) return Restart(status);
  work_ = std::make_shared<Work>();
  work_->input = input_;
  work_->format = FormatOf(config_, endpoint->protocol);
  work_->bytes = absl::StrCat(Counted(config_.ca()), Counted(config_.certificate()), Counted(config_.key()));
  written_ = sent_ = 0;
  SetState("connecting");
  Pump();
}

// Its end is not waited for: it closes what it has, and a worker reaps it.
void LogSink::Stop() {
  output_ = nullptr;
  room_ = nullptr;
  input_ = nullptr;
  work_ = nullptr;
  feeds_.clear();
  marks_.clear();
  for (OwnerLoop::TimerId* timer : {&restart_, &poke_}) {
    if (*timer != 0) hands_.loop.Cancel(std::exchange(*timer, 0));
  }
  if (pid_ < 0) return;
  pid_t pid = std::exchange(pid_, -1);
  ::kill(pid, SIGKILL);
  hands_.loop.RunBlocking([pid] { ::waitpid(pid, nullptr, 0); }, [] {});
}

void LogSink::Restart(const absl::Status& why) {
  Stop();
  // What it said last tells more than that it ended.
  SetState("failed", status_.last_error().empty() || status_.state() == "connected" ? std::string(why.message())
                                                                                    : status_.last_error());
  restart_ = hands_.loop.After(kRestartPause, [this, alive = alive_] {
    if (*alive) Start();
  });
}

std::vector<std::string> LogSink::Sources() const {
  std::vector<std::string> all = hands_.sources();
  if (config_.sources().empty()) return all;
  std::vector<std::string> wanted;
  for (const std::string& source : all) {
    if (std::find(config_.sources().begin(), config_.sources().end(), source) != config_.sources().end()) {
      wanted.push_back(source);
    }
  }
  return wanted;
}

void LogSink::OpenFeeds() {
  for (const std::string& source : Sources()) {
    if (feeds_.count(source) > 0) continue;
    absl::StatusOr<std::unique_ptr<LogSource>> log = hands_.open(source, places_[source]);
    if (!log.ok()) continue;  // looked for again
    feeds_[source] = std::make_shared<Feed>(Feed{source, *std::move(log)});
    work_->feeds.push_back(feeds_[source]);
  }
}

void LogSink::Poke() {
  poked_ = true;
  if (poke_ != 0 || pumping_ || room_ != nullptr || work_ == nullptr) return;
  poke_ = hands_.loop.After(kPokePause, [this, alive = alive_] {
    if (!*alive) return;
    poke_ = 0;
    Pump();
  });
}

void LogSink::Pump() {
  if (pumping_ || work_ == nullptr) return;
  pumping_ = true;
  poked_ = false;
  OpenFeeds();
  work_->origin.host = hands_.host();
  work_->origin.boot_id = hands_.boot_id;
  hands_.loop.RunBlocking([work = work_] { work->Run(); },
                          [this, work = work_, alive = alive_] {
                            if (*alive) OnPumped(work);
                          });
}

void LogSink::OnPumped(const std::shared_ptr<Work>& work) {
  pumping_ = false;
  if (work != work_) return Pump();  // of a program that has ended
  for (Mark& mark : work->marks) marks_.push_back(std::move(mark));
  written_ = work->records;
  if (work->lost_bytes > 0) {
    status_.set_dropped_bytes(status_.dropped_bytes() + work->lost_bytes);
    SavePlaces();
    hands_.changed(false);
  }
  if (!work->status.ok()) return Restart(work->status);
  if (work->full) {
    room_ = std::make_unique<Room>(*this, input_->get());
    if (absl::Status status = room_->Watch(); !status.ok()) Restart(status);
    return;
  }
  if (work->again) return Pump();
  if (poked_) Poke();
}

void LogSink::OnLine(absl::string_view line) {
  uint64_t count;
  if (absl::ConsumePrefix(&line, "sent ")) {
    if (absl::SimpleAtoi(line, &count)) OnSent(count);
  } else if (line == "connected") {
    status_.set_connections(status_.connections() + 1);
    SetState("connected");
  } else if (absl::ConsumePrefix(&line, "lost ") || absl::ConsumePrefix(&line, "failed ")) {
    SetState("waiting", std::string(line));
  }
}

void LogSink::OnSent(uint64_t count) {
  sent_ += count;
  status_.set_sent_lines(status_.sent_lines() + count);
  bool moved = false;
  for (; !marks_.empty() && marks_.front().records <= sent_; marks_.pop_front()) {
    places_[marks_.front().source] = marks_.front().cursor;
    moved = true;
  }
  if (moved) SavePlaces();
  hands_.changed(false);
}

void LogSink::SetState(const std::string& state, const std::string& error) {
  bool bad = state == "waiting" || state == "failed";
  bool was_bad = status_.state() == "waiting" || status_.state() == "failed";
  bool news = state != status_.state() || (!error.empty() && error != status_.last_error());
  if (!error.empty()) {
    status_.set_last_error(error);
    status_.mutable_last_error_time()->set_seconds(absl::ToUnixSeconds(absl::Now()));
  }
  // Once for each change to the worse or the better, not for every attempt.
  if (bad && !was_bad) hands_.tell(absl::StrCat("logs do not reach ", config_.endpoint(), ": ", error), true);
  if (state == "connected" && status_.state() != "connected") {
    hands_.tell(absl::StrCat("logs go to ", config_.endpoint()), false);
  }
  // A first attempt after a failure has not made it better yet.
  if (!(state == "connecting" && was_bad)) status_.set_state(state);
  if (news) hands_.changed(true);
}

// "place SOURCE CURSOR" and "dropped BYTES".
void LogSink::LoadPlaces() {
  std::string text = ReadFile(absl::StrCat(hands_.folder, "/", config_.name())).value_or("");
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    std::vector<std::string> words = absl::StrSplit(line, ' ');
    uint64_t bytes;
    if (words.size() == 3 && words[0] == "place") places_[words[1]] = words[2];
    if (words.size() == 2 && words[0] == "dropped" && absl::SimpleAtoi(words[1], &bytes)) {
      status_.set_dropped_bytes(bytes);
    }
  }
}

void LogSink::SavePlaces() {
  std::string text = absl::StrCat("dropped ", status_.dropped_bytes(), "\n");
  for (const auto& [source, cursor] : places_) {
    if (!cursor.empty()) absl::StrAppend(&text, "place ", source, " ", cursor, "\n");
  }
  // On tmpfs: no wait.
  absl::Status saved = ReplaceFile(absl::StrCat(hands_.folder, "/", config_.name()), text, 0600);
  if (!saved.ok()) Log("warning: log sink ", config_.name(), ": ", saved.message());
}

}  // namespace stele::machined
