// Every command, as a user runs it, against a node in this process over mTLS.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <thread>

#include "absl/strings/str_split.h"
#include "osctl/fake_node.h"

namespace stele::osctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class CommandsTest : public FakeNodeTest {
 protected:
  void PutServices() {
    resource::v1::Service kubelet;
    kubelet.set_state(resource::v1::SERVICE_STATE_RUNNING);
    kubelet.set_ready(true);
    kubelet.set_pid(123);
    Put("services", "kubelet", kubelet);
    resource::v1::Service containerd;
    containerd.set_state(resource::v1::SERVICE_STATE_BACKOFF);
    containerd.set_restarts(4);
    containerd.set_message("exit 1");
    Put("services", "containerd", containerd);
  }
};

TEST_F(CommandsTest, VersionShowsBothSides) {
  Outcome run = Osctl({"version"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, StartsWith("NODE"));
  EXPECT_THAT(run.out, HasSubstr("(here)"));
  EXPECT_THAT(run.out, HasSubstr(address() + "  containerd  1.7.24\n"));
  EXPECT_EQ(run.err, "");
}

TEST_F(CommandsTest, VersionOfTheClientAsksNobody) {
  node_.reset();
  Outcome run = Osctl({"version", "--client", "-o", "json"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("\"client\": {"));
}

TEST_F(CommandsTest, GetShowsATable) {
  PutServices();
  Outcome run = Osctl({"get", "svc"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            "ID          STATE    READY  PID  RESTARTS  SINCE  MESSAGE\n"
            "containerd  Backoff  no     0    4         -      exit 1\n"
            "kubelet     Running  yes    123  0         -      -\n");
}

TEST_F(CommandsTest, GetOneById) {
  PutServices();
  EXPECT_EQ(Osctl({"get", "services", "kubelet", "-o", "name"}).out, "services/kubelet\n");
  Outcome json = Osctl({"get", "services", "kubelet", "-o", "json"});
  EXPECT_THAT(json.out, StartsWith("{\n  \"type\": \"services\",\n  \"id\": \"kubelet\",\n  \"version\": \"7\""));
  EXPECT_THAT(json.out, HasSubstr("\"state\": \"SERVICE_STATE_RUNNING\""));
  Outcome yaml = Osctl({"get", "services", "-o", "yaml"});
  EXPECT_THAT(yaml.out, StartsWith("items:\n- type: services\n  id: containerd\n"));
}

TEST_F(CommandsTest, GetWhatIsNotThere) {
  PutServices();
  Outcome no_id = Osctl({"get", "services", "nothing"});
  EXPECT_EQ(no_id.code, 6);
  EXPECT_EQ(no_id.err, "osctl: " + address() + ": get services: no services 'nothing'\n");
  EXPECT_EQ(Osctl({"get", "nonsense"}).code, 6);
}

TEST_F(CommandsTest, WatchGoesOnAfterALostConnection) {
  PutServices();
  Outcome run = Osctl({"get", "services", "-w"});
  EXPECT_EQ(run.code, 0) << run.err;
  std::vector<std::string> changes;
  for (absl::string_view line : absl::StrSplit(run.out, '\n', absl::SkipEmpty())) {
    std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    changes.push_back(words[0] + " " + words[1]);
  }
  // kubelet did not change, so it is not shown again.
  EXPECT_THAT(changes,
              ElementsAre("CHANGE ID", "ADDED containerd", "ADDED kubelet", "ADDED zz-new", "DELETED containerd"));
}

TEST_F(CommandsTest, WatchGoesOnFromItsCursor) {
  PutServices();
  node_->state().cursors = true;
  Outcome run = Osctl({"get", "services", "-w", "-o", "json"});
  EXPECT_EQ(run.code, 0) << run.err;
  // The first attempt breaks, the second goes on from its cursor and is told that it is too old, the third is all there
  // is.
  EXPECT_THAT(node_->state().calls, ElementsAre("watch ", "watch a:1", "watch "));
  EXPECT_THAT(run.out, HasSubstr("{\"change\":\"ADDED\",\"resource\":{\"type\":\"services\",\"id\":\"zz-new\""));
  EXPECT_THAT(run.out, HasSubstr("{\"change\":\"DELETED\",\"cursor\":\"a:1\""));
  Outcome given = Osctl({"get", "services", "-w", "--resume", "b:7"});
  EXPECT_NE(given.code, 0);
  EXPECT_THAT(given.err, HasSubstr("too old"));
  EXPECT_EQ(Osctl({"get", "services", "--resume", "b:7"}).code, 2);
}

TEST_F(CommandsTest, SeveralNodesHaveAColumn) {
  PutServices();
  std::unique_ptr<FakeNode> other = StartNode();
  other->state().resources["services"] = node_->state().resources["services"];
  std::string second = absl::StrCat("127.0.0.1:", other->port());
  Outcome run = Osctl({"-n", address() + "," + second, "get", "services"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, StartsWith("NODE"));
  EXPECT_THAT(run.out, HasSubstr(second + "  kubelet"));
  EXPECT_THAT(run.out, HasSubstr(address() + "  kubelet"));
}

TEST_F(CommandsTest, OneNodeOfTwoFailsAndTheWorstCodeCounts) {
  PutServices();
  Outcome run = Osctl({"get", "services", "-n", address(), "-n", "127.0.0.1:1", "-o", "name"});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.out, HasSubstr("services/kubelet"));
  EXPECT_THAT(run.err, HasSubstr("osctl: 127.0.0.1:1: get services: connect to 127.0.0.1:1: Connection refused"));
}

TEST_F(CommandsTest, LogsComeWhole) {
  for (int i = 0; i < 5000; ++i) absl::StrAppend(&node_->state().log, "line ", i, "\n");
  Outcome run = Osctl({"logs", "kubelet"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, node_->state().log);
}

TEST_F(CommandsTest, LogsGoOnFromTheCursor) {
  FakeState& state = node_->state();
  for (int i = 0; i < 2000; ++i) absl::StrAppend(&state.log, "line ", i, "\n");
  state.break_log_after = 5000;
  Outcome run = Osctl({"logs", "kubelet", "-f", "--tail", "9999"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_GE(state.broken_logs, 2);
  EXPECT_EQ(run.out, state.log);  // no line lost, none doubled
}

TEST_F(CommandsTest, LogSourcesAndOptionsReachTheNode) {
  node_->state().log = "x\n";
  Osctl({"logs", "kubelet", "--tail", "3", "-f"});
  Osctl({"logs", "default/hello/main"});
  Osctl({"logs", "-c", "4f8a"});
  Osctl({"dmesg", "--since", "2026-01-31T12:00:00Z"});
  Osctl({"audit", "-f", "--tail", "7"});
  EXPECT_THAT(
      node_->state().calls,
      ElementsAre("log service: \"kubelet\" tail_lines: 3 follow: true",
                  "log container { container: \"default/hello/main\" }", "log container { container: \"4f8a\" }",
                  "log kernel { } since { seconds: 1769860800 }", "log tail_lines: 7 follow: true audit { }"));
}

TEST_F(CommandsTest, SeveralLogsAndFiltersReachTheNode) {
  Osctl({"logs", "kubelet", "kernel", "default/hello", "-c", "4f8a", "-g", "oom|evict", "--invert", "--until",
         "2026-01-31T12:00:00Z"});
  Osctl({"dmesg", "--previous-boot"});
  Osctl({"logs", "kubelet", "audit", "--tail", "5"});
  Osctl({"audit", "-g", "decision=deny"});
  EXPECT_THAT(
      node_->state().calls,
      ElementsAre("log service: \"kubelet\" more { kernel { } } more { container { container: \"default/hello\" } } "
                  "more { container { container: \"4f8a\" } } until { seconds: 1769860800 } pattern: "
                  "\"oom|evict\" invert: true",
                  "log kernel { } previous_boot: true", "log service: \"kubelet\" tail_lines: 5 more { audit { } }",
                  "log pattern: \"decision=deny\" audit { }"));
}

TEST_F(CommandsTest, SeveralLogsAreToldApart) {
  node_->state().log = "one\ntwo\n";
  EXPECT_EQ(Osctl({"logs", "kubelet", "kernel"}).out, "[kubelet] one\n[kubelet] two\n");
}

TEST_F(CommandsTest, LogsWithTimestamps) {
  node_->state().log = "one\ntwo\n";
  EXPECT_EQ(Osctl({"logs", "kubelet", "--timestamps"}).out,
            "2023-11-14T22:13:20.000Z one\n2023-11-14T22:13:20.000Z two\n");
}

TEST_F(CommandsTest, LogsNeedASource) {
  EXPECT_EQ(Osctl({"logs"}).code, 2);
  EXPECT_EQ(Osctl({"logs", "kubelet", "-f", "--until", "1m"}).code, 2);
  EXPECT_EQ(Osctl({"logs", "kubelet", "--invert"}).code, 2);
  EXPECT_EQ(Osctl({"logs", "kubelet", "--since", "yesterday"}).code, 2);
}

TEST_F(CommandsTest, Events) {
  v1::Event event;
  event.set_id(1);
  event.set_kind("service");
  event.set_subject("kubelet");
  event.set_message("running\x1b[2J");
  event.set_severity(v1::SEVERITY_WARNING);
  event.mutable_time()->set_seconds(1'700'000'000);
  node_->state().events.push_back(event);
  EXPECT_EQ(Osctl({"events"}).out, "2023-11-14T22:13:20Z  Warning  service/kubelet           running?[2J\n");
  EXPECT_THAT(Osctl({"events", "-o", "json"}).out, HasSubstr("\"severity\":\"SEVERITY_WARNING\""));
  EXPECT_EQ(Osctl({"events", "--after", "1"}).out, "");
  EXPECT_EQ(Osctl({"events", "--after", "one"}).code, 2);
}

TEST_F(CommandsTest, Services) {
  EXPECT_EQ(Osctl({"service", "start", "kubelet"}).err, "service kubelet started\n");
  Osctl({"service", "stop", "kubelet"});
  Osctl({"service", "restart", "kubelet", "--force", "--yes"});
  EXPECT_THAT(node_->state().calls, ElementsAre("start kubelet", "stop kubelet force=0", "restart kubelet force=1"));
  node_->state().answer = {grpc::StatusCode::FAILED_PRECONDITION, "apid cannot be stopped"};
  Outcome refused = Osctl({"service", "stop", "apid"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("stop service apid: apid cannot be stopped"));
}

TEST_F(CommandsTest, DeniedIsItsOwnCode) {
  node_->state().answer = {grpc::StatusCode::PERMISSION_DENIED, "role reader may not call StopService"};
  Outcome run = Osctl({"service", "stop", "kubelet"});
  EXPECT_EQ(run.code, 5);
  EXPECT_THAT(run.err, HasSubstr("use a context whose certificate has a higher role"));
}

TEST_F(CommandsTest, RebootAndShutdown) {
  Outcome dry = Osctl({"reboot", "--dry-run"});
  EXPECT_EQ(dry.err, "would reboot\n");
  Outcome wait = Osctl({"reboot", "--wait"});
  EXPECT_EQ(wait.code, 0) << wait.err;
  EXPECT_THAT(wait.err, HasSubstr("is back after "));
  Osctl({"shutdown", "--halt", "--force"});
  EXPECT_THAT(node_->state().calls, ElementsAre("reboot force=0 validate_only=1", "reboot force=0 validate_only=0",
                                                "shutdown force=1 halt=1 validate_only=0"));
}

TEST_F(CommandsTest, AsksOnATerminal) {
  UniqueFd keyboard(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_EQ(::grantpt(keyboard.get()) | ::unlockpt(keyboard.get()), 0);
  UniqueFd terminal(::open(::ptsname(keyboard.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
  std::map<std::string, std::string> environment = {{"OSCTLCONFIG", keys() + "/osctl.yaml"}};
  ASSERT_TRUE(WriteAll(keyboard.get(), "n\n").ok());
  Outcome no = RunOsctl({"reboot"}, environment, terminal.get());
  EXPECT_EQ(no.code, 1);
  EXPECT_EQ(no.err, "reboot " + address() + "? [y/N] nothing was done\n");
  EXPECT_THAT(node_->state().calls, ElementsAre());
  ASSERT_TRUE(WriteAll(keyboard.get(), "y\n").ok());
  EXPECT_EQ(RunOsctl({"service", "stop", "kubelet"}, environment, terminal.get()).code, 0);
  EXPECT_EQ(RunOsctl({"reboot", "--yes"}, environment, terminal.get()).code, 0);
  EXPECT_THAT(node_->state().calls, ElementsAre("stop kubelet force=0", "reboot force=0 validate_only=0"));
}

TEST_F(CommandsTest, ConfigGet) {
  EXPECT_EQ(Osctl({"config", "get"}).out, "kind: MachineConfig\n");
  EXPECT_THAT(Osctl({"config", "get", "-o", "json"}).out, HasSubstr("\"generation\": \"3\""));
}

TEST_F(CommandsTest, ConfigValidate) {
  std::string bad = directory_.File("bad.yaml", "bad\n");
  Outcome run = Osctl({"config", "validate", "-f", bad});
  EXPECT_EQ(run.code, 7);
  EXPECT_EQ(run.err, bad + ":2:5: network.bad: unknown key\nosctl: " + address() + ": config validate: " + bad +
                         " has 1 problem; nothing was changed; mend it and try again\n");
  std::string good = directory_.File("good.yaml", "good\n");
  EXPECT_EQ(Osctl({"config", "validate", "-f", good}).out, "restart chronyd\n");
}

TEST_F(CommandsTest, ConfigApply) {
  std::string good = directory_.File("good.yaml", "good\n");
  EXPECT_EQ(Osctl({"apply", "-f", good}).err, "applied as generation 4\n");
  Osctl({"config", "apply", "-f", good, "--mode", "staged"});
  Osctl({"apply", "-f", good, "--dry-run"});
  EXPECT_THAT(node_->state().calls,
              ElementsAre("apply APPLY_MODE_AUTO validate_only=0", "apply APPLY_MODE_STAGED validate_only=0",
                          "apply APPLY_MODE_AUTO validate_only=1"));
  Outcome bad = Osctl({"apply", "-f", directory_.File("bad.yaml", "bad\n")});
  EXPECT_EQ(bad.code, 7);
  EXPECT_THAT(bad.err, HasSubstr("bad.yaml:2:5: network.bad: unknown key\n"));
  EXPECT_THAT(bad.err, HasSubstr("bad.yaml:3:1: kind: missing\n"));
}

TEST_F(CommandsTest, ConfigOnTrial) {
  std::string good = directory_.File("good.yaml", "good\n");
  EXPECT_EQ(Osctl({"apply", "-f", good, "--mode", "try", "--timeout", "90s"}).err,
            "generation 4 is on trial until 2023-11-14T22:14:20Z: `osctl config confirm 4` keeps it\n");
  Osctl({"apply", "-f", good, "--mode", "try"});
  EXPECT_EQ(Osctl({"config", "confirm", "4"}).err, "generation 4 stays\n");
  EXPECT_EQ(Osctl({"config", "revert"}).err, "the trial is over: generation 3 runs again\n");
  EXPECT_EQ(Osctl({"config", "revert", "2"}).err, "generation 2 runs again, as generation 5\n");
  EXPECT_EQ(Osctl({"config", "confirm"}).code, 2);
  EXPECT_THAT(node_->state().calls,
              ElementsAre("apply APPLY_MODE_TRY validate_only=0 for=90", "apply APPLY_MODE_TRY validate_only=0",
                          "confirm 4", "revert 0", "revert 2"));
}

TEST_F(CommandsTest, ConfigHistory) {
  EXPECT_EQ(Osctl({"config", "history"}).out,
            "GENERATION  STATE            SOURCE   APPLIED               BY             SHA256        MESSAGE\n"
            "4           Trying           api      2023-11-14T22:13:20Z  alice (admin)  aaaaaaaaaaaa  "
            "until 2023-11-14T22:14:20Z unless confirmed\n"
            "3           Kept, last good  install  2020-09-13T12:26:40Z  -              bbbbbbbbbbbb  -\n");
  EXPECT_THAT(Osctl({"config", "history", "-o", "json"}).out, HasSubstr("\"lastGood\": true"));
  EXPECT_THAT(Osctl({"config", "get", "--generation", "2", "-o", "json"}).out, HasSubstr("\"generation\": \"2\""));
}

TEST_F(CommandsTest, ConfigDiff) {
  std::string good = directory_.File("good.yaml", "good\n");
  EXPECT_EQ(Osctl({"config", "diff", "-f", good}).out, "--- running\n+++ given\n");
  EXPECT_EQ(Osctl({"config", "diff", "-f", directory_.File("same.yaml", "kind: MachineConfig\n")}).err,
            "nothing differs\n");
  EXPECT_EQ(Osctl({"config", "diff", "-f", directory_.File("bad.yaml", "bad\n")}).code, 7);
  EXPECT_EQ(Osctl({"config", "diff", "--from", "2", "--to", "3"}).code, 0);
  EXPECT_EQ(node_->state().calls.back(), "diff from_generation: 2 to_generation: 3");
  EXPECT_EQ(Osctl({"config", "diff"}).code, 2);
  EXPECT_EQ(Osctl({"config", "diff", "-f", good, "--to", "3"}).code, 2);
}

TEST_F(CommandsTest, Patch) {
  Outcome run = Osctl({"patch", "-p", "{network: {hostname: x}}"});
  EXPECT_EQ(run.out, "set the host name x\n");
  EXPECT_EQ(run.err, "applied as generation 4\n");
  Osctl({"patch", "--type", "json", "-f", directory_.File("patch.json", "[]"), "--mode", "staged", "--dry-run"});
  EXPECT_THAT(node_->state().calls,
              ElementsAre("patch patch: \"{network: {hostname: x}}\" type: PATCH_TYPE_MERGE mode: APPLY_MODE_AUTO",
                          "patch patch: \"[]\" type: PATCH_TYPE_JSON mode: APPLY_MODE_STAGED validate_only: true"));
  Outcome bad = Osctl({"config", "patch", "-p", "bad: 1"});
  EXPECT_EQ(bad.code, 7);
  EXPECT_THAT(bad.err, HasSubstr("patch:network.bad: unknown key\n"));
  EXPECT_EQ(Osctl({"patch"}).code, 2);
  EXPECT_EQ(Osctl({"patch", "-p", "{}", "-f", "x"}).code, 2);
}

TEST_F(CommandsTest, Edit) {
  auto edit = [&](const std::string& editor) {
    return RunOsctl({"edit"},
                    {{"OSCTLCONFIG", keys() + "/osctl.yaml"}, {"EDITOR", editor}, {"TMPDIR", directory_.path()}});
  };
  auto left = [&] {
    return ::system(absl::StrCat("ls ", directory_.path(), "/osctl-edit-* >/dev/null 2>&1").c_str()) == 0;
  };
  EXPECT_EQ(edit("true").err, "nothing was changed\n");
  Outcome broken = edit("false");
  EXPECT_EQ(broken.code, 8);
  EXPECT_THAT(broken.err, HasSubstr("the editor (false) ended with exit 1; nothing was changed"));
  EXPECT_THAT(node_->state().calls, ElementsAre());
  EXPECT_EQ(edit("sed -i s/Machine/Changed/").err, "applied as generation 4\n");
  EXPECT_THAT(node_->state().calls, ElementsAre("apply APPLY_MODE_AUTO validate_only=0 if=3"));
  EXPECT_EQ(node_->state().applied, "kind: ChangedConfig\n");
  EXPECT_FALSE(left());
  Outcome bad = edit("sed -i s/Machine/bad/");
  EXPECT_EQ(bad.code, 7);
  EXPECT_THAT(bad.err, HasSubstr("mend it and `osctl apply -f " + directory_.path() + "/osctl-edit-"));
  EXPECT_TRUE(left());
}

TEST_F(CommandsTest, ConfigFilesOfTheWrongKind) {
  EXPECT_EQ(Osctl({"apply", "-f", "/nonexistent"}).code, 8);
  Outcome large = Osctl({"apply", "-f", directory_.File("large.yaml", std::string(10 << 20, '#'))});
  EXPECT_EQ(large.code, 7);
  EXPECT_THAT(large.err, HasSubstr("a configuration is at most 1 MiB"));
  EXPECT_EQ(Osctl({"apply"}).code, 2);
}

TEST_F(CommandsTest, ImageImport) {
  std::string archive;
  for (int i = 0; i < 300'000; ++i) archive += static_cast<char>(i * 31);
  Outcome run = Osctl({"image", "import", directory_.File("image.tar", archive)});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, "docker.io/library/demo:1\n");
  EXPECT_TRUE(node_->state().imported == archive);
  EXPECT_EQ(Osctl({"image", "import", "/nonexistent"}).code, 8);
  node_->state().imported.clear();
  EXPECT_EQ(Osctl({"image", "import", directory_.File("empty.tar", "")}).code, 1);
}

TEST_F(CommandsTest, ImageRemove) {
  Outcome run = Osctl({"image", "remove", "docker.io/library/demo:1", "--force"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, "docker.io/library/demo:1\n");
  EXPECT_THAT(run.err, HasSubstr("removed, 3"));
  EXPECT_THAT(node_->state().calls, testing::Contains("remove docker.io/library/demo:1 force=1"));
  EXPECT_EQ(Osctl({"image", "remove"}).code, 2);
}

TEST_F(CommandsTest, ContainerRestart) {
  Outcome run = Osctl({"container", "restart", "default/web", "--grace", "2500ms"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("default/web/web ended"));
  EXPECT_THAT(node_->state().calls, testing::Contains("restart default/web grace=3"));
}

TEST_F(CommandsTest, Contexts) {
  EXPECT_EQ(Osctl({"context", "list"}).out,
            "CURRENT  NAME  NODES  ENDPOINTS\n*        demo  1      " + address() + "\n");
}

TEST_F(CommandsTest, Completion) {
  PutServices();
  EXPECT_EQ(Osctl({"__complete", "service", "re"}).out, "restart\n");
  EXPECT_EQ(Osctl({"__complete", "get", "serv"}).out, "services\n");
  EXPECT_EQ(Osctl({"__complete", "logs", "kub"}).out, "kubelet\n");         // the node was asked
  EXPECT_EQ(Osctl({"__complete", "get", "svc", "c"}).out, "containerd\n");  // by an alias too
  EXPECT_EQ(Osctl({"__complete", "--context", ""}).out, "demo\n");
  EXPECT_EQ(Osctl({"__complete", "get", "services", "--output="}).out, "table\nwide\njson\nyaml\njsonpath=\nname\n");
  EXPECT_EQ(Osctl({"__complete", "apply", "-f", "x"}).out, ":file\n");
  node_.reset();
  EXPECT_EQ(Osctl({"__complete", "logs", "kub"}).out, "");
}

}  // namespace
}  // namespace stele::osctl
