// Carries apid's records from its log, which is in memory, to where they are kept (audit_store.h): half a second after
// they were written, on a worker. A kill of machined loses none: it goes on at the place that the store names. A power
// cut loses the last half second's.
//
// They are kept on the state partition; while there is none, in memory, and from then on there.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "machined/controller.h"
#include "machined/log_store.h"
#include "machined/security/audit_store.h"

namespace stele::machined {

class AuditKeeper : public Controller {
 public:
  // Where the audit is to be kept now; empty: not known yet.
  using Folder = std::function<std::string()>;
  struct Options {
    std::string apid_log = "/run/stele/log/apid";
    std::string boot;  // as in that log's cursors
  };
  // Borrows all.
  AuditKeeper(LogStore& logs, AuditStore& store, Folder folder, Options options);
  ~AuditKeeper() override;

  absl::string_view name() const override { return "audit"; }
  std::vector<std::string> watches() const override { return {"volumes"}; }
  absl::Status Start(Node& node) override;
  absl::Status Reconcile() override;
  // Carries what is there, now and on this thread: machined is about to end.
  void Finish();

 private:
  struct Work;  // what the worker holds
  void Soon();
  void Carry();

  LogStore& logs_;
  AuditStore& store_;
  Folder folder_;
  Options options_;
  LogStore::SubscriptionId subscription_ = 0;
  OwnerLoop::TimerId timer_ = 0;
  bool begun_ = false;
  bool at_work_ = false;
  bool again_ = false;   // there is more, or another folder
  std::string problem_;  // that was told
  std::shared_ptr<Work> work_;
};

}  // namespace stele::machined
