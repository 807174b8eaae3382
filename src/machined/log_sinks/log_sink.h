// One receiver of logs: reads the logs it is to have, makes records of their lines and hands them to a forward program
// (forward.h), as fast as that takes them.
//
// There is no queue but the logs themselves: what is not taken stays where it is until rotation takes it, and a reader
// that finds its place gone counts the bytes. So no service waits, and memory is bounded by one chunk. Places move on
// when the program has sent what was before them, and are kept below /run, so that neither a killed machined nor a
// program that ended loses a line; a line may come twice then.
//
// Owner thread only; reading and writing is done on workers, one at a time.
#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "machined/log_sinks/record.h"
#include "machined/log_source.h"
#include "machined/owner_loop.h"
#include "stele/config/v1/machine_config.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {

class LogSink {
 public:
  struct Hands {
    OwnerLoop& loop;
    // The logs there are: services and "kernel".
    std::function<std::vector<std::string>()> sources;
    // Opens one after a cursor; an empty one: from its beginning. Any thread may use what is returned.
    std::function<absl::StatusOr<std::unique_ptr<LogSource>>(const std::string& source, const std::string& cursor)>
        open;
    std::function<std::string()> host;
    // Something is to be shown; `now`: not only a count.
    std::function<void(bool now)> changed;
    std::function<void(const std::string& message, bool bad)> tell;  // an event
    std::string boot_id;
    std::string program;  // forward
    std::string folder;   // where places are kept
  };

  LogSink(Hands hands, const config::v1::LogSinkConfig& config);
  ~LogSink();
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;

  const config::v1::LogSinkConfig& config() const { return config_; }
  const resource::v1::LogSink& status() const { return status_; }
  // There may be more in a log.
  void Poke();

 private:
  struct Feed;
  struct Work;
  class Output;
  class Room;

  void Start();
  void Stop();
  void Restart(const absl::Status& why);
  void OpenFeeds();
  void Pump();
  void OnPumped(const std::shared_ptr<Work>& work);
  void OnLine(absl::string_view line);
  void OnSent(uint64_t count);
  void SetState(const std::string& state, const std::string& error = "");
  void LoadPlaces();
  void SavePlaces();
  std::vector<std::string> Sources() const;

  Hands hands_;
  const config::v1::LogSinkConfig config_;
  resource::v1::LogSink status_;

  // The program.
  pid_t pid_ = -1;
  std::unique_ptr<Output> output_;  // what it says
  std::unique_ptr<Room> room_;      // waits until its input takes more
  std::shared_ptr<UniqueFd> input_;
  OwnerLoop::TimerId restart_ = 0;
  OwnerLoop::TimerId poke_ = 0;

  std::map<std::string, std::shared_ptr<Feed>> feeds_;
  std::shared_ptr<Work> work_;  // what workers have between their turns
  bool pumping_ = false;
  bool poked_ = false;
  uint64_t written_ = 0, sent_ = 0;  // records, of this program
  struct Mark {
    uint64_t records;            // once so many are sent …
    std::string source, cursor;  // … this is its place
  };
  std::deque<Mark> marks_;
  std::map<std::string, std::string> places_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace stele::machined
