// The steps of boot that are machined's, as a table (phase_table.cc), and init's beside them: all
// are `phases` resources.
//
// A phase runs from when those before it are through until its condition holds; after its deadline
// it has failed, and boot goes on: a phase is told, never waited for. What became of each is
// reported to init, which keeps it for the machined after a kill. Owner thread only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "machined/controller.h"
#include "machined/init_client.h"

namespace stele::machined {

struct PhaseCheck {
  enum Result { kWaiting, kDone, kSkipped } result = kWaiting;
  std::string message;  // what it waits for, or why it is skipped
};

struct PhaseStep {
  const char* name;
  std::vector<const char*> after;
  absl::Duration deadline;
  PhaseCheck (*check)(Node& node);
};

// machined's phases, in the order they are shown.
const std::vector<PhaseStep>& PhaseSteps();

class PhaseBoard : public Controller {
 public:
  PhaseBoard(InitClient& init, const std::vector<PhaseStep>& steps) : init_(init), steps_(steps) {}

  absl::string_view name() const override { return "phases"; }
  std::vector<std::string> watches() const override {
    return {"services", "addresses", "volumes", "configs", "time", "links"};
  }
  absl::Status Reconcile() override;

  void OnPhase(const init_protocol::Phase& phase);
  void OnListed();

 private:
  init_protocol::Phase& Find(const std::string& name);
  void Advance(const PhaseStep& step);
  bool IsThrough(const char* name);
  void Report(const init_protocol::Phase& phase);
  absl::Status Publish();

  InitClient& init_;
  const std::vector<PhaseStep>& steps_;
  bool listed_ = false;
  OwnerLoop::TimerId look_again_ = 0;
  // All of the boot, in the order they were first told; init's are before ours.
  std::vector<init_protocol::Phase> phases_;
};

}  // namespace stele::machined
