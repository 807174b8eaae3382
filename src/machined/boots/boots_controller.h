// Keeps the history of boots (boot_history.h) and is the one way to end the machine: why and by whom is on the disk
// before init is told.
//
// Once STELE-STATE is mounted this boot is added, the boot before without an end is found out about, and an event tells
// it. A node without that partition has a history of one boot. Owner thread only.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "base/init_protocol.h"
#include "machined/boots/boot_history.h"
#include "machined/controller.h"
#include "machined/init_client.h"

namespace stele::machined {

class BootsController : public Controller {
 public:
  struct Options {
    std::string boot_id;
    std::string version;
    std::string slot;  // a, b; empty: from memory
    bool watchdog_reset = false;
    std::string file = "/run/stele/state/boots";
    std::string pstore = "/sys/fs/pstore";
    std::string logs = "/run/stele/log";
    std::string boot_logs = "/run/stele/state/boot-logs";
  };
  // `init` outlives it.
  BootsController(InitClient& init, Options options);
  ~BootsController() override { *alive_ = false; }

  absl::string_view name() const override { return "boots"; }
  std::vector<std::string> watches() const override { return {"volumes"}; }
  absl::Status Start(Node& node) override;
  absl::Status Reconcile() override;

  // Where the ends of the boot before's logs are (boot_logs.h). Any thread.
  const std::string& boot_logs() const { return options_.boot_logs; }

  // Writes down that the machine ends and why ("asked by admin (admin) from 192.0.2.1", "upgrade to 0.2.0"), then tells
  // init; `done` gets init's answer. A disk that does not take it within 3 s (1 s where it is forced) keeps nobody from
  // ending. The logs' ends go with it.
  void EndMachine(init_protocol::EndAction action, bool force, const std::string& reason, InitClient::Done done);

 private:
  // What workers share: the history and its file.
  struct Shared {
    std::mutex mutex;
    BootHistory history;
    bool begun = false;  // the file has this boot
  };
  // What the start found.
  struct Begun {
    absl::Status status;
    std::optional<resource::v1::Boot> before;
  };
  static void Begin(const Options& options, const resource::v1::Boot& boot, Shared& shared, Begun* begun);
  resource::v1::Boot ThisBoot() const;
  void OnBegun(const Begun& begun);
  void WriteEnd(resource::v1::BootEnd end, const std::string& reason, std::function<void()> done);
  void Publish();

  InitClient& init_;
  Options options_;
  enum class Step { kWaiting, kAtWork, kDone } step_ = Step::kWaiting;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace stele::machined
