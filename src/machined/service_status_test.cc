#include "machined/service_status.h"

#include <csignal>

#include "gtest/gtest.h"

namespace stele::machined {
namespace {

using init_protocol::RunState;

constexpr RunState kAllRuns[] = {RunState::kStopped, RunState::kRunning, RunState::kStopping, RunState::kBackoff,
                                 RunState::kFinished};

// The whole table: run state × wanted × dependencies × init's own desired state.
TEST(ServiceStatus, ADependencyNeverStopsAndOnlyDelaysAStart) {
  for (RunState run : kAllRuns) {
    for (bool init_up : {false, true}) {
      ServiceFacts facts = {.wanted_up = true, .dependencies_ready = false, .run = run, .init_up = init_up};
      EXPECT_EQ(ActionFor(facts), ServiceAction::kNone);
    }
  }
}

TEST(ServiceStatus, WantedDownIsStoppedWheneverInitWouldKeepItUp) {
  for (RunState run : kAllRuns) {
    for (bool dependencies : {false, true}) {
      ServiceFacts facts = {.wanted_up = false, .dependencies_ready = dependencies, .run = run, .init_up = true};
      EXPECT_EQ(ActionFor(facts), ServiceAction::kStop);
      facts.init_up = false;
      EXPECT_EQ(ActionFor(facts), ServiceAction::kNone);
    }
  }
}

TEST(ServiceStatus, WantedUpIsStartedOnce) {
  ServiceFacts facts = {.wanted_up = true, .run = RunState::kStopped};
  EXPECT_EQ(ActionFor(facts), ServiceAction::kStart);
  facts.init_up = true;
  EXPECT_EQ(ActionFor(facts), ServiceAction::kNone);
  facts = {.wanted_up = true, .run = RunState::kFinished, .init_up = false};
  EXPECT_EQ(ActionFor(facts), ServiceAction::kNone);
}

TEST(ServiceStatus, States) {
  EXPECT_EQ(StateName(StateOf({.wanted_up = true, .run = RunState::kStopped})), "waiting");
  EXPECT_EQ(StateName(StateOf({.wanted_up = false, .run = RunState::kStopped})), "stopped");
  EXPECT_EQ(StateName(StateOf({.readiness = Readiness::kPending, .run = RunState::kRunning})), "starting");
  EXPECT_EQ(StateName(StateOf({.readiness = Readiness::kReady, .run = RunState::kRunning})), "running");
  EXPECT_EQ(StateName(StateOf({.readiness = Readiness::kFailing, .run = RunState::kRunning})), "unhealthy");
  EXPECT_EQ(StateName(StateOf({.readiness = Readiness::kReady, .run = RunState::kStopping})), "stopping");
  EXPECT_EQ(StateName(StateOf({.readiness = Readiness::kReady, .run = RunState::kBackoff})), "backoff");
  EXPECT_EQ(StateName(StateOf({.run = RunState::kFinished, .exited_well = true})), "finished");
  EXPECT_EQ(StateName(StateOf({.run = RunState::kFinished, .exited_well = false})), "stopped");
}

TEST(ServiceStatus, LastExitSaysHow) {
  init_protocol::ServiceState state;
  EXPECT_EQ(LastExit(state), "");
  state.exit_kind = init_protocol::ExitKind::kExited;
  state.exit_value = 3;
  EXPECT_EQ(LastExit(state), "exit 3");
  state.exit_kind = init_protocol::ExitKind::kSignaled;
  state.exit_value = SIGKILL;
  EXPECT_EQ(LastExit(state), "signal 9 (KILL)");
  state.exit_kind = init_protocol::ExitKind::kSpawnFailed;
  state.exit_value = ENOENT;
  state.failed_step = init_protocol::SpawnStep::kExec;
  EXPECT_EQ(LastExit(state), "start failed: execute: No such file or directory");
}

}  // namespace
}  // namespace stele::machined
