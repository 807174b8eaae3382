#include "base/init_protocol.h"

#include <cerrno>
#include <random>

#include "base/status.h"
#include "gtest/gtest.h"

namespace stele::init_protocol {
namespace {

// A spec with every field away from its default.
ServiceSpec FullSpec() {
  return {
      .name = "kubelet",
      .argv = {"/usr/bin/kubelet", "--config=/run/kubelet.yaml", ""},
      .env = {"PATH=/usr/sbin:/usr/bin", "EMPTY="},
      .directory = "/var/lib/kubelet",
      .uid = 900,
      .gid = 901,
      .groups = {1, 2, 3},
      .capabilities = 1u << 21,
      .all_capabilities = true,
      .no_new_privs = false,
      .limits = {{RLIMIT_NOFILE, 1024, 4096}, {RLIMIT_NPROC, 7, UINT64_MAX}},
      .oom_score_adj = -999,
      .namespaces = {.pid = true, .mount = true, .ipc = true, .uts = true, .network = true},
      .join = "",
      .hide = {"/run/stele", "/var/secret"},
      .cgroup = "kubepods/kubelet",
      .cgroup_settings = {{"memory.max", "128M"}, {"io.max", "8:0 rbps=1=2"}},
      .listen = {{"tcp:[::]:50000", 64, 0600, 0}, {"unix:/run/a.sock", 1, 0660, 900}},
      .restart = RestartPolicy::kOnFailure,
      .longest_backoff_ms = 777,
      .kill_mode = KillMode::kProcess,
      .stop_signal = 2,
      .stop_timeout_ms = 1234,
      .shared_mounts = true,
  };
}

absl::Span<const uint8_t> Defined(const ServiceSpec& spec, Message& message) {
  EncodeDefine(7, spec, message);
  return message.bytes();
}

TEST(InitProtocol, SpecSurvivesTheWire) {
  Message message;
  absl::StatusOr<ServiceSpec> back = DecodeDefine(Defined(FullSpec(), message));
  ASSERT_TRUE(back.ok()) << back.status();
  ServiceSpec full = FullSpec();
  EXPECT_EQ(back->name, full.name);
  EXPECT_EQ(back->argv, full.argv);
  EXPECT_EQ(back->env, full.env);
  EXPECT_EQ(back->directory, full.directory);
  EXPECT_EQ(back->uid, full.uid);
  EXPECT_EQ(back->gid, full.gid);
  EXPECT_EQ(back->groups, full.groups);
  EXPECT_EQ(back->capabilities, full.capabilities);
  EXPECT_EQ(back->all_capabilities, full.all_capabilities);
  EXPECT_EQ(back->no_new_privs, full.no_new_privs);
  ASSERT_EQ(back->limits.size(), 2u);
  EXPECT_EQ(back->limits[1].resource, RLIMIT_NPROC);
  EXPECT_EQ(back->limits[1].soft, 7u);
  EXPECT_EQ(back->limits[1].hard, UINT64_MAX);
  EXPECT_EQ(back->oom_score_adj, -999);
  EXPECT_TRUE(back->namespaces.pid && back->namespaces.mount && back->namespaces.ipc && back->namespaces.uts &&
              back->namespaces.network);
  EXPECT_EQ(back->hide, full.hide);
  EXPECT_EQ(back->cgroup, full.cgroup);
  EXPECT_EQ(back->cgroup_settings, full.cgroup_settings);
  ASSERT_EQ(back->listen.size(), 2u);
  EXPECT_EQ(back->listen[1].address, "unix:/run/a.sock");
  EXPECT_EQ(back->listen[1].backlog, 1u);
  EXPECT_EQ(back->listen[1].mode, 0660u);
  EXPECT_EQ(back->listen[1].uid, 900u);
  EXPECT_EQ(back->restart, full.restart);
  EXPECT_EQ(back->longest_backoff_ms, 777u);
  EXPECT_EQ(back->kill_mode, full.kill_mode);
  EXPECT_EQ(back->stop_signal, 2);
  EXPECT_EQ(back->stop_timeout_ms, 1234u);
  EXPECT_TRUE(back->shared_mounts);
  EXPECT_EQ(SpecHash(*back), SpecHash(full));
  back->argv[1] += "x";
  EXPECT_NE(SpecHash(*back), SpecHash(full));
}

TEST(InitProtocol, StatePhaseReplyAndTheRestSurviveTheWire) {
  Message message;
  ServiceState state = {.name = "apid",
                        .state = RunState::kBackoff,
                        .desired_up = true,
                        .pid = 77,
                        .starts = 3,
                        .started_ns = 1u << 31,
                        .next_start_ns = UINT64_MAX,
                        .exit_kind = ExitKind::kSpawnFailed,
                        .exit_value = ENOENT,
                        .failed_step = SpawnStep::kExec,
                        .spec_hash = 99,
                        .dropped_log_bytes = 5};
  EncodeState(4, state, message);
  EXPECT_EQ(DecodeHeader(message.bytes())->request, 4u);
  absl::StatusOr<ServiceState> state_back = DecodeState(message.bytes());
  ASSERT_TRUE(state_back.ok()) << state_back.status();
  EXPECT_EQ(state_back->name, "apid");
  EXPECT_EQ(state_back->state, RunState::kBackoff);
  EXPECT_EQ(state_back->next_start_ns, UINT64_MAX);
  EXPECT_EQ(state_back->exit_value, ENOENT);
  EXPECT_EQ(state_back->failed_step, SpawnStep::kExec);
  EXPECT_EQ(state_back->dropped_log_bytes, 5u);

  EncodePhase(0,
              {.name = "mounts",
               .by_machined = true,
               .state = 3,
               .start_ns = 1,
               .end_ns = 2,
               .deadline_ms = 3,
               .message = std::string(5000, 'm')},
              message);
  absl::StatusOr<Phase> phase = DecodePhase(message.bytes());
  ASSERT_TRUE(phase.ok()) << phase.status();
  EXPECT_EQ(phase->name, "mounts");
  EXPECT_TRUE(phase->by_machined);
  EXPECT_EQ(phase->message.size(), 1024u) << "a long message is cut, not refused";

  EncodeReply(9, EBUSY, "busy", message);
  EXPECT_EQ(DecodeReply(message.bytes())->error, EBUSY);
  EXPECT_EQ(DecodeReply(message.bytes())->text, "busy");
  EncodeName(Type::kStop, 9, "apid", message);
  EXPECT_EQ(*DecodeName(message.bytes()), "apid");
  EXPECT_FALSE(DecodeDefine(message.bytes()).ok());
  EncodeShutdown(9, EndAction::kHalt, true, message);
  EXPECT_EQ(DecodeShutdown(message.bytes())->action, EndAction::kHalt);
  EXPECT_TRUE(DecodeShutdown(message.bytes())->force);
}

TEST(InitProtocol, TrialOverIsItsHeaderAndNothingElse) {
  Message message;
  EncodeTrialOver(31, message);
  EXPECT_EQ(message.bytes().size(), 8u);
  EXPECT_EQ(DecodeHeader(message.bytes())->request, 31u);
  EXPECT_EQ(DecodeHeader(message.bytes())->type, Type::kTrialOver);
  EXPECT_TRUE(DecodeTrialOver(message.bytes()).ok());
  EXPECT_FALSE(DecodeShutdown(message.bytes()).ok());
  message.AddU64(1, 1);
  EXPECT_FALSE(DecodeTrialOver(message.bytes()).ok()) << "a field";
  EncodeList(31, message);
  EXPECT_FALSE(DecodeTrialOver(message.bytes()).ok()) << "another type";
}

// Every prefix is refused or is a message of its own (cut between two fields); under ASan a read
// past the end would end the test.
TEST(InitProtocol, TruncationAtEveryByteIsSafe) {
  Message message;
  absl::Span<const uint8_t> whole = Defined(FullSpec(), message);
  size_t accepted = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    std::vector<uint8_t> part(whole.begin(), whole.begin() + size);
    part.shrink_to_fit();
    accepted += DecodeDefine(part).ok();
  }
  EXPECT_LT(accepted, 45u) << "at most one per field";
  ServiceState state = {.name = "a"};
  Message small;
  EncodeState(0, state, small);
  for (size_t size = 0; size < 8; ++size) EXPECT_FALSE(DecodeHeader(small.bytes().subspan(0, size)).ok());
}

TEST(InitProtocol, RefusesWhatIsTooLong) {
  Message message;
  ServiceSpec spec = FullSpec();
  spec.argv.push_back(std::string(kMaxMessage, 'x'));
  EncodeDefine(1, spec, message);
  EXPECT_FALSE(message.ok());
  EXPECT_LE(message.bytes().size(), kMaxMessage);
  std::vector<uint8_t> huge(kMaxMessage + 1);
  EXPECT_FALSE(DecodeHeader(huge).ok());
}

TEST(InitProtocol, RefusesSpecsThatCouldHurtInit) {
  auto refused = [](auto change) {
    ServiceSpec spec = FullSpec();
    change(spec);
    Message message;
    return !DecodeDefine(Defined(spec, message)).ok();
  };
  EXPECT_FALSE(refused([](ServiceSpec&) {}));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.name = "../x"; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.name = ""; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.argv.clear(); }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.argv[0] = "sh"; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.argv[1] = std::string("a\0b", 3); }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.argv.assign(65, "/x"); }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.env = {"NOVALUE"}; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.cgroup = "../../etc"; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.cgroup = "/abs"; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.cgroup_settings = {{"../x", "1"}}; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.cgroup_settings = {{"cgroup.kill", "1"}}; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.hide = {"relative"}; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.hide = {"/a/.."}; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.stop_signal = 0; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.oom_score_adj = 1001; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.join = "workload"; }));  // and makes namespaces
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.limits[0].resource = RLIM_NLIMITS; }));
}

TEST(InitProtocol, RefusesOtherVersionsTypesAndFields) {
  Message message;
  EncodeList(1, message);
  std::vector<uint8_t> packet(message.bytes().begin(), message.bytes().end());
  packet[0] = kVersion + 1;
  EXPECT_EQ(DecodeHeader(packet).status().code(), absl::StatusCode::kFailedPrecondition);
  packet[0] = kVersion;
  packet[2] = 200;
  EXPECT_FALSE(DecodeHeader(packet).ok());
  message.Begin(Type::kStop, 1);
  message.AddBytes(1, "apid");
  message.AddBytes(99, "?");
  EXPECT_FALSE(DecodeName(message.bytes()).ok());
}

// Random packets and random changes of good ones: whatever is accepted keeps the bounds.
TEST(InitProtocol, RandomPacketsNeverCrossABound) {
  std::mt19937 random(42);
  Message message;
  absl::Span<const uint8_t> good = Defined(FullSpec(), message);
  for (int round = 0; round < 50'000; ++round) {
    std::vector<uint8_t> packet(good.begin(), good.end());
    for (int change = random() % 4; change >= 0; --change) packet[random() % packet.size()] = random();
    if (random() % 4 == 0) packet.resize(random() % packet.size());
    absl::StatusOr<ServiceSpec> spec = DecodeDefine(packet);
    if (spec.ok()) {
      EXPECT_LE(spec->argv.size(), 64u);
      EXPECT_EQ(spec->name.find('/'), std::string::npos);
    }
    DecodeReply(packet).IgnoreError();
    DecodeState(packet).IgnoreError();
    DecodePhase(packet).IgnoreError();
    DecodeName(packet).IgnoreError();
    DecodeShutdown(packet).IgnoreError();
    DecodeTrialOver(packet).IgnoreError();
  }
}

}  // namespace
}  // namespace stele::init_protocol
