// config logging.sinks → sinks that run, and `logsinks`, which tells how they do. Owner thread only.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "machined/controller.h"
#include "machined/log_sinks/log_sink.h"
#include "machined/log_store.h"

namespace stele::machined {

class LogSinksController : public Controller {
 public:
  struct Options {
    std::string boot_id;
    std::string program = "/usr/lib/stele/forward";
    std::string folder = "/run/stele/machined/sinks";
    std::string logs = "/run/stele/log";
  };
  // `logs` outlives it.
  LogSinksController(LogStore& logs, Options options) : logs_(logs), options_(std::move(options)) {}
  ~LogSinksController() override { *alive_ = false; }

  absl::string_view name() const override { return "logsinks"; }
  std::vector<std::string> watches() const override { return {}; }
  absl::Status Reconcile() override;

 private:
  LogSink::Hands HandsFor(const std::string& name);
  std::vector<std::string> Sources() const;
  // Logs tell that they grow; the kernel's does not, and a service may get one: so now and then.
  void Look();
  void Publish();

  LogStore& logs_;
  Options options_;
  std::map<std::string, std::unique_ptr<LogSink>> sinks_;
  bool looking_ = false;
  OwnerLoop::TimerId publish_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace stele::machined
