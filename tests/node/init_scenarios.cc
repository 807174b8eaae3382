// What the scripted machined makes init do, and what must come of it.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <random>

#include "base/file.h"
#include "init_peer.h"

namespace stele::node_test {
namespace {

using init_protocol::EndAction;
using init_protocol::SpawnStep;

// A number of /size's: how large a test is, the first argument of the test program.
int Size(int standard) {
  absl::StatusOr<std::string> text = ReadFile("/size");
  int size = text.ok() ? atoi(text->c_str()) : 0;
  return size > 0 ? size : standard;
}

// Whether init could put services into groups of their own.
bool HasCgroups() {
  return ReadFile("/proc/self/cgroup").value_or("").find("0::/system/machined") != std::string::npos;
}

void SleepMs(int ms) { ::usleep(static_cast<useconds_t>(ms) * 1000); }

void ExitCodes(Peer& peer) {
  for (int code = 0; code < 256; ++code) {
    PEER_EXPECT(peer.RunToEnd(SpecOf("exit", {"exit", absl::StrCat(code)})), "code %d", code);
    const ServiceState& state = peer.state("exit");
    PEER_EXPECT(state.exit_kind == ExitKind::kExited && state.exit_value == code, "%d was reported as %d", code,
                state.exit_value);
  }
  for (int signal = 1; signal <= 64; ++signal) {
    // The default of these is not to end.
    bool ends = true;
    for (int other : {SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH}) ends &= signal != other;
    if (!ends) continue;
    PEER_EXPECT(peer.RunToEnd(SpecOf("exit", {"die-by", absl::StrCat(signal)})), "signal %d", signal);
    const ServiceState& state = peer.state("exit");
    PEER_EXPECT(state.exit_kind == ExitKind::kSignaled && state.exit_value == signal, "signal %d was reported as %d",
                signal, state.exit_value);
  }
}

// Processes in state Z in the whole namespace.
int CountZombies() {
  int zombies = 0;
  DIR* proc = ::opendir("/proc");
  while (const dirent* entry = ::readdir(proc)) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    absl::StatusOr<std::string> stat = ReadFile(absl::StrCat("/proc/", entry->d_name, "/stat"));
    if (!stat.ok()) continue;
    size_t name = stat->rfind(')');
    zombies += name != std::string::npos && stat->compare(name, 4, ") Z ") == 0;
  }
  ::closedir(proc);
  return zombies;
}

void Orphans(Peer& peer) {
  int count = Size(100'000);
  PEER_EXPECT(peer.Define(SpecOf("orphans", {"orphans", absl::StrCat(count)})) == 0);
  uint64_t begin = NowNs();
  PEER_EXPECT(peer.Start("orphans") == 0);
  PEER_EXPECT(peer.WaitForState("orphans", RunState::kFinished, 600'000));
  uint64_t took = (NowNs() - begin) / 1'000'000;
  SleepMs(1000);
  int zombies = CountZombies();
  PEER_EXPECT(zombies == 0, "%d zombies 1 s after the last orphan", zombies);
  Say("orphans-per-second %llu", static_cast<unsigned long long>(count * 1000ull / (took + 1)));
}

void IgnoresTerm(Peer& peer) {
  ServiceSpec spec = SpecOf("stubborn", {"ignore-term"});
  spec.stop_timeout_ms = 500;
  spec.restart = RestartPolicy::kAlways;
  PEER_EXPECT(peer.Define(spec) == 0);
  PEER_EXPECT(peer.Start("stubborn") == 0);
  PEER_EXPECT(peer.WaitForState("stubborn", RunState::kRunning));
  std::string result;
  for (int i = 0;
       i < 500 && (result.find("ready") == std::string::npos || result.find("grandchild") == std::string::npos); ++i) {
    SleepMs(10);
    result = ReadFile(kResultFile).value_or("");
  }
  PEER_EXPECT(result.find("ready") != std::string::npos);
  int grandchild = atoi(result.c_str() + result.find("grandchild") + strlen("grandchild "));
  PEER_EXPECT(::kill(grandchild, 0) == 0);
  uint64_t begin = NowNs();
  PEER_EXPECT(peer.Stop("stubborn") == 0);
  PEER_EXPECT(peer.state("stubborn").state != RunState::kStopped);
  PEER_EXPECT(peer.WaitForState("stubborn", RunState::kStopped));
  uint64_t took = (NowNs() - begin) / 1'000'000;
  PEER_EXPECT(took >= 490 && took < 1500, "it took %d ms", static_cast<int>(took));
  PEER_EXPECT(peer.state("stubborn").exit_kind == ExitKind::kSignaled && peer.state("stubborn").exit_value == SIGKILL);
  SleepMs(200);
  if (HasCgroups()) {
    PEER_EXPECT(::kill(grandchild, 0) != 0, "a process of its own session outlived the kill");
  } else {
    Say("SKIP processes of other sessions: no cgroup2 that this user may write to");
  }
}

void CrashLoop(Peer& peer) {
  ServiceSpec spec = SpecOf("crash", {"exit", "1"});
  spec.restart = RestartPolicy::kOnFailure;
  PEER_EXPECT(peer.Define(spec) == 0);
  std::map<uint32_t, uint64_t> starts;
  peer.on_state = [&](const ServiceState& state) {
    if (state.name == "crash" && state.starts > 0) starts.emplace(state.starts, state.started_ns);
  };
  PEER_EXPECT(peer.Start("crash") == 0);
  constexpr uint32_t kStarts = 7;
  PEER_EXPECT(peer.WaitFor([&] { return starts.count(kStarts) > 0; }, 30'000));
  uint64_t nominal = 100;
  for (uint32_t start = 2; start <= kStarts && starts.count(start); ++start, nominal *= 2) {
    int gap = static_cast<int>((starts[start] - starts[start - 1]) / 1'000'000);
    // The process lives for a moment, and a busy machine adds its own.
    PEER_EXPECT(gap >= static_cast<int>(nominal) * 9 / 10 && gap <= static_cast<int>(nominal) * 11 / 10 + 250,
                "start %u came %d ms after the one before, not %d", start, gap, static_cast<int>(nominal));
  }
  // Wanted down, it stays down; wanted up, it starts at once.
  PEER_EXPECT(peer.Stop("crash") == 0);
  PEER_EXPECT(peer.WaitForState("crash", RunState::kStopped));
  // The same, and it ends well: once.
  spec.argv.back() = "0";
  PEER_EXPECT(peer.Define(spec) == 0);
  PEER_EXPECT(peer.Start("crash") == 0);
  PEER_EXPECT(peer.WaitForState("crash", RunState::kFinished, 2'000));
}

// Open descriptors of init, and its resident kilobytes.
std::pair<int, int> Footprint() {
  int descriptors = 0;
  DIR* directory = ::opendir("/proc/1/fd");
  if (directory == nullptr) return {-1, -1};
  while (::readdir(directory) != nullptr) ++descriptors;
  ::closedir(directory);
  std::string statm = ReadFile("/proc/1/statm").value_or("0 0");
  return {descriptors, atoi(statm.c_str() + statm.find(' ')) * 4};
}

void StartStop(Peer& peer) {
  int rounds = Size(10'000);
  PEER_EXPECT(peer.Define(SpecOf("cycle", {"pause"})) == 0);
  std::pair<int, int> before;
  uint64_t begin = NowNs();
  for (int round = 0; round < rounds; ++round) {
    if (round == rounds / 10) before = Footprint();
    PEER_EXPECT(peer.Start("cycle") == 0);
    PEER_EXPECT(peer.WaitForState("cycle", RunState::kRunning));
    PEER_EXPECT(peer.Stop("cycle") == 0);
    PEER_EXPECT(peer.WaitForState("cycle", RunState::kStopped));
  }
  SleepMs(2500);  // init gives back what it does not need when it is quiet
  std::pair<int, int> after = Footprint();
  PEER_EXPECT(before.first > 0 && after.first == before.first, "%d descriptors, then %d", before.first, after.first);
  PEER_EXPECT(after.second <= before.second + 64, "%d kB, then %d", before.second, after.second);
  PEER_EXPECT(after.second <= 1024, "%d kB resident", after.second);
  Say("resident-kb %d", after.second);
  Say("cycles-per-second %llu", static_cast<unsigned long long>(rounds * 1'000'000'000ull / (NowNs() - begin)));
}

// Defined, started and stopped under ever new names: nothing stays of a removed service.
void DefineRemove(Peer& peer) {
  std::pair<int, int> before;
  for (int round = 0; round < 500; ++round) {
    if (round == 100) before = Footprint();
    std::string name = absl::StrCat("service-", round);
    PEER_EXPECT(peer.Define(SpecOf(name, {"pause"})) == 0);
    PEER_EXPECT(peer.Start(name) == 0);
    PEER_EXPECT(peer.WaitForState(name, RunState::kRunning));
    PEER_EXPECT(peer.Remove(name) == EBUSY);
    PEER_EXPECT(peer.Stop(name) == 0);
    PEER_EXPECT(peer.WaitForState(name, RunState::kStopped));
    PEER_EXPECT(peer.Remove(name) == 0);
    PEER_EXPECT(peer.Start(name) == ENOENT);
    peer.logs.clear();
  }
  std::pair<int, int> after = Footprint();
  PEER_EXPECT(after.first == before.first, "%d descriptors, then %d", before.first, after.first);
  PEER_EXPECT(after.second <= before.second + 64, "%d kB, then %d", before.second, after.second);
  // Not more than there may be.
  int defined = 0;
  for (; defined < 100; ++defined) {
    if (peer.Define(SpecOf(absl::StrCat("many-", defined), {"pause"})) != 0) break;
  }
  // machined and apid are there from the start.
  PEER_EXPECT(defined == init_protocol::kMaxServices - 2 && peer.last_error == ENOSPC, "%d", defined);
  PEER_EXPECT(peer.List() == 0);
  PEER_EXPECT(peer.Stop("machined") == EPERM && peer.Remove("machined") == EPERM);
}

std::string Call(const char* path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, path);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return "no connection";
  timeval wait = {.tv_sec = 5, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  char text[128] = {};
  ssize_t got = ::read(socket.get(), text, sizeof text - 1);
  return got > 0 ? text : "no answer";
}

// A service that leaves after each answer: nobody who connects is turned away.
void ListeningSocket(Peer& peer) {
  ServiceSpec spec = SpecOf("server", {"serve-one"});
  spec.restart = RestartPolicy::kAlways;
  spec.longest_backoff_ms = 100;
  spec.listen = {{.address = "unix:/run/server.sock", .backlog = 16, .mode = 0666}};
  PEER_EXPECT(peer.Define(spec) == 0);
  PEER_EXPECT(peer.Start("server") == 0);
  PEER_EXPECT(peer.WaitForState("server", RunState::kRunning));
  std::string last;
  for (int i = 0; i < 5; ++i) {
    std::string answer = Call("/run/server.sock");
    int pid = 0, listen_pid = 0, descriptors = 0;
    sscanf(answer.c_str(), "%d %d %d", &pid, &listen_pid, &descriptors);
    PEER_EXPECT(pid > 0 && pid == listen_pid && descriptors == 1, "it answered: %s", answer.c_str());
    PEER_EXPECT(answer != last);
    last = answer;
  }
  // Also machined's own, which this process has as descriptor 4.
  int accepting = 0;
  socklen_t size = sizeof accepting;
  PEER_EXPECT(::getsockopt(init_protocol::kMachinedListenFd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &size) == 0 &&
              accepting == 1);
}

// machined ends 20 times. Everything it needs to go on is in init; what it knew is in a file.
void MachinedKilled(Peer& peer) {
  constexpr int kKills = 20;
  constexpr char kMemory[] = "/memory";
  auto read_memory = [&] {
    int round = -1, pid = 0, next_line = 0;
    unsigned long long killed_at = 0;
    sscanf(ReadFile(kMemory).value_or("").c_str(), "%d %d %d %llu", &round, &pid, &next_line, &killed_at);
    return std::tuple(round, pid, next_line, killed_at);
  };
  auto [round, pid, next_line, killed_at] = read_memory();
  if (round < 0) {
    PEER_EXPECT(peer.Define(SpecOf("writer", {"lines"})) == 0);
    PEER_EXPECT(peer.Start("writer") == 0);
    PEER_EXPECT(peer.WaitForState("writer", RunState::kRunning));
    PEER_EXPECT(peer.Report({.name = "config", .state = 3, .start_ns = 1, .end_ns = 2, .message = "kept"}) == 0);
    round = 0;
    pid = peer.state("writer").pid;
  } else {
    int away = static_cast<int>((NowNs() - killed_at) / 1'000'000);
    PEER_EXPECT(away < 2000, "away for %d ms", away);
    PEER_EXPECT(peer.List() == 0);
    PEER_EXPECT(peer.state("writer").pid == pid && peer.state("writer").state == RunState::kRunning);
    PEER_EXPECT(peer.phases["config"].by_machined && peer.phases["config"].message == "kept");
    PEER_EXPECT(peer.phases.count("mounts") > 0);
    PEER_EXPECT(peer.state("writer").dropped_log_bytes == 0);
  }
  // Whole lines, going on where the one before stopped.
  PEER_EXPECT(peer.log("writer") >= 0);
  std::string line;
  int lines = 0;
  for (uint64_t until = NowNs() + 10'000'000'000ull; NowNs() < until && lines < 50;) {
    char byte;
    if (::read(peer.log("writer"), &byte, 1) != 1) {
      SleepMs(1);
      continue;
    }
    if (byte != '\n') {
      line += byte;
      continue;
    }
    if (line != absl::StrCat("line ", next_line)) {
      Say("FAIL expected line %d, got '%s'", next_line, line.c_str());
      return;
    }
    ++next_line, ++lines;
    line.clear();
  }
  PEER_EXPECT(lines == 50);
  if (round == kKills) {
    Say("kills %d lines %d", round, next_line);
    return;
  }
  std::string memory = absl::StrCat(round + 1, " ", pid, " ", next_line, " ", NowNs());
  ReplaceFile(kMemory, memory).IgnoreError();
  ::kill(::getpid(), SIGKILL);
}

// Nobody reads: the writer goes on, and init counts what it threw away.
void Flood(Peer& peer) {
  PEER_EXPECT(peer.Define(SpecOf("flood", {"flood", "2000"})) == 0);
  PEER_EXPECT(peer.Start("flood") == 0);
  PEER_EXPECT(peer.WaitForState("flood", RunState::kFinished));
  std::string result = ReadFile(kResultFile).value_or("");
  size_t at = result.find("longest-write-ms ");
  PEER_EXPECT(at != std::string::npos);
  int longest = at == std::string::npos ? 9999 : atoi(result.c_str() + at + strlen("longest-write-ms "));
  PEER_EXPECT(longest <= 250, "a write took %d ms", longest);  // 100, and what a busy test machine adds
  PEER_EXPECT(peer.List() == 0);
  PEER_EXPECT(peer.state("flood").dropped_log_bytes > 1'000'000, "%llu dropped",
              static_cast<unsigned long long>(peer.state("flood").dropped_log_bytes));

  // A reader that is there gets everything, however full the pipe is all the time.
  PEER_EXPECT(peer.Define(SpecOf("read", {"flood", "1000"})) == 0);
  PEER_EXPECT(peer.Start("read") == 0);
  PEER_EXPECT(peer.List() == 0 && peer.log("read") >= 0);
  uint64_t received = 0;
  static char buffer[64 * 1024];
  // No faster than a disk could be: the writer is always ahead. On a busy machine this process may
  // itself stand still for so long that it counts as no reader; then it cannot tell.
  uint64_t gap = 0, last = NowNs();
  for (uint64_t until = NowNs() + 3'000'000'000ull; last < until;) {
    ssize_t got = ::read(peer.log("read"), buffer, sizeof buffer);
    if (got > 0) received += static_cast<uint64_t>(got);
    ::usleep(200);
    uint64_t now = NowNs();
    gap = std::max(gap, now - last);
    last = now;
  }
  PEER_EXPECT(peer.WaitForState("read", RunState::kFinished));
  result = ReadFile(kResultFile).value_or("");
  unsigned long long written = strtoull(result.c_str() + result.rfind("written ") + strlen("written "), nullptr, 10);
  unsigned long long dropped = peer.state("read").dropped_log_bytes;
  PEER_EXPECT(received + dropped == written, "%llu written, %llu received, %llu dropped", written,
              static_cast<unsigned long long>(received), dropped);
  PEER_EXPECT(dropped == 0 || gap > 50'000'000, "%llu dropped", dropped);
  Say("reader-gap-ms %llu", static_cast<unsigned long long>(gap / 1'000'000));
}

void ExpectSpawnFailure(Peer& peer, ServiceSpec spec, SpawnStep step, int error) {
  PEER_EXPECT(peer.RunToEnd(spec));
  const ServiceState& state = peer.state(spec.name);
  PEER_EXPECT(state.exit_kind == ExitKind::kSpawnFailed && state.failed_step == step && state.exit_value == error,
              "kind %d step %d errno %d", static_cast<int>(state.exit_kind), static_cast<int>(state.failed_step),
              state.exit_value);
  PEER_EXPECT(state.pid == 0);
}

void SpawnFailures(Peer& peer) {
  ServiceSpec spec = SpecOf("broken", {"pause"});
  auto with = [&](auto change) {
    ServiceSpec changed = spec;
    change(changed);
    return changed;
  };
  ExpectSpawnFailure(peer, with([](ServiceSpec& s) { s.argv = {"/no/such/program"}; }), SpawnStep::kExec, ENOENT);
  ExpectSpawnFailure(peer, with([](ServiceSpec& s) { s.argv = {"/scenario"}; }), SpawnStep::kExec, EACCES);
  ExpectSpawnFailure(peer, with([](ServiceSpec& s) { s.directory = "/no/such"; }), SpawnStep::kDirectory, ENOENT);
  ExpectSpawnFailure(peer, with([](ServiceSpec& s) { s.join = "nobody"; }), SpawnStep::kJoin, ESRCH);
  ExpectSpawnFailure(peer, with([](ServiceSpec& s) {
                       s.limits = {{RLIMIT_NOFILE, 10, 5}};
                     }),
                     SpawnStep::kLimits, EINVAL);
  ExpectSpawnFailure(peer, with([](ServiceSpec& s) { s.listen = {{.address = "tcp:nowhere:1"}}; }), SpawnStep::kSocket,
                     EINVAL);
  // And after all of it, a good one starts.
  PEER_EXPECT(peer.Define(spec) == 0);
  PEER_EXPECT(peer.Start("broken") == 0);
  PEER_EXPECT(peer.WaitForState("broken", RunState::kRunning));
}

// A line of a description, after its name.
std::string Line(const std::string& text, const std::string& name) {
  size_t at = text.find("\n" + name + ":\t");
  if (at == std::string::npos) return "?";
  at += name.size() + 3;
  return text.substr(at, text.find('\n', at) - at);
}

std::string Describe(Peer& peer, ServiceSpec spec, const char* file) {
  spec.argv = Role({"describe", file});
  PEER_EXPECT(peer.RunToEnd(spec));
  const ServiceState& state = peer.state(spec.name);
  PEER_EXPECT(state.exit_kind == ExitKind::kExited && state.exit_value == 0, "kind %d step %d value %d",
              static_cast<int>(state.exit_kind), static_cast<int>(state.failed_step), state.exit_value);
  return ReadFile(file).value_or("");
}

void Credentials(Peer& peer) {
  ServiceSpec spec = SpecOf("plain", {});
  spec.env = {"ONE=1", "TWO=2"};
  spec.directory = "/tmp";
  spec.oom_score_adj = 321;
  spec.limits = {{RLIMIT_NOFILE, 77, 99}};
  ::mkdir("/out", 0777);
  ::chmod("/out", 0777);
  std::string text = Describe(peer, spec, "/out/plain");
  PEER_EXPECT(Line(text, "Fds") == "0 1 2 ", "open: %s", Line(text, "Fds").c_str());
  PEER_EXPECT(Line(text, "Env") == "ONE=1 TWO=2 ");
  PEER_EXPECT(Line(text, "Cwd") == "/tmp");
  PEER_EXPECT(Line(text, "Oom") == "321");
  PEER_EXPECT(Line(text, "Nofile") == "77");
  PEER_EXPECT(Line(text, "Session") == "1");
  PEER_EXPECT(Line(text, "SigBlk") == "0000000000000000" && Line(text, "SigIgn") == "0000000000000000");
  PEER_EXPECT(Line(text, "NoNewPrivs") == "1");
  if (HasCgroups()) {
    PEER_EXPECT(text.find("0::/system/plain") != std::string::npos, "%s", Line(text, "Cgroup").c_str());
  }

  // Without anything: what apid will be.
  spec.all_capabilities = false;
  spec.uid = 900;
  spec.gid = 901;
  spec.groups = {7, 8};
  ServiceSpec as_user = spec;
  as_user.name = "as-user";
  bool one_user = ReadFile("/proc/self/uid_map").value_or("").find("4294967295") == std::string::npos;
  if (one_user) {
    Say("SKIP other users: this user namespace has one user");
    return;
  }
  text = Describe(peer, as_user, "/out/as-user");
  PEER_EXPECT(Line(text, "Uid") == "900\t900\t900\t900" && Line(text, "Gid") == "901\t901\t901\t901");
  PEER_EXPECT(Line(text, "Groups") == "7 8 ", "%s", Line(text, "Groups").c_str());
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    PEER_EXPECT(Line(text, set) == "0000000000000000", "%s is %s", set, Line(text, set).c_str());
  }
  // One capability under another user.
  as_user.name = "one-capability";
  as_user.capabilities = 1u << 10;  // CAP_NET_BIND_SERVICE
  text = Describe(peer, as_user, "/out/one-capability");
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    PEER_EXPECT(Line(text, set) == "0000000000000400", "%s is %s", set, Line(text, set).c_str());
  }
  // And as root, where exec would give all of them back.
  as_user.name = "root-with-one";
  as_user.uid = as_user.gid = 0;
  text = Describe(peer, as_user, "/out/root-with-one");
  for (const char* set : {"CapPrm", "CapEff", "CapBnd"}) {
    PEER_EXPECT(Line(text, set) == "0000000000000400", "%s is %s", set, Line(text, set).c_str());
  }
}

void Sandbox(Peer& peer) {
  ::mkdir("/hidden", 0755);
  ReplaceFile("/hidden/secret", "x").IgnoreError();
  ::mkdir("/out", 0777);
  ServiceSpec sandbox = SpecOf("workload", {});
  sandbox.argv = {"/usr/lib/stele/applets", "reaper"};
  sandbox.namespaces = {.pid = true, .mount = true};
  sandbox.hide = {"/hidden", "/not-there"};
  sandbox.shared_mounts = true;
  sandbox.restart = RestartPolicy::kAlways;
  PEER_EXPECT(peer.Define(sandbox) == 0);

  // Who joins before there is a sandbox waits for it, and is then started at once.
  ServiceSpec joiner = SpecOf("joiner", {"pause"});
  joiner.join = "workload";
  joiner.restart = RestartPolicy::kAlways;
  PEER_EXPECT(peer.Define(joiner) == 0);
  PEER_EXPECT(peer.Start("joiner") == 0);
  PEER_EXPECT(peer.WaitForState("joiner", RunState::kBackoff));
  SleepMs(1500);
  PEER_EXPECT(peer.Start("workload") == 0);
  PEER_EXPECT(peer.WaitForState("workload", RunState::kRunning));
  PEER_EXPECT(peer.WaitForState("joiner", RunState::kRunning, 1'000));

  ServiceSpec inside = SpecOf("inside", {});
  inside.join = "workload";
  std::string in = Describe(peer, inside, "/out/inside");
  std::string out = Describe(peer, SpecOf("outside", {}), "/out/outside");
  PEER_EXPECT(Line(in, "PidNs") != Line(out, "PidNs") && Line(in, "MountNs") != Line(out, "MountNs"));
  PEER_EXPECT(Line(in, "Sees") == "0" && Line(out, "Sees") == "1");
  PEER_EXPECT(Line(in, "Pid").size() <= 2, "a pid of the namespace: %s", Line(in, "Pid").c_str());

  // The sandbox's end takes all with it; both come back, nobody's desired state changed.
  int old_sandbox = peer.state("workload").pid, old_joiner = peer.state("joiner").pid;
  PEER_EXPECT(::kill(old_sandbox, SIGKILL) == 0);
  PEER_EXPECT(peer.WaitFor([&] {
    return peer.state("workload").state == RunState::kRunning && peer.state("workload").pid != old_sandbox &&
           peer.state("joiner").state == RunState::kRunning && peer.state("joiner").pid != old_joiner;
  }));
  PEER_EXPECT(peer.state("joiner").desired_up && peer.state("joiner").exit_value == SIGKILL);
  in = Describe(peer, inside, "/out/inside");
  PEER_EXPECT(Line(in, "PidNs") != Line(out, "PidNs") && Line(in, "Sees") == "0");
  // The reaper ends on SIGTERM, soon.
  uint64_t begin = NowNs();
  PEER_EXPECT(peer.Stop("workload") == 0);
  PEER_EXPECT(peer.WaitForState("workload", RunState::kStopped, 1'500));
  Say("sandbox-stop-ms %llu", static_cast<unsigned long long>((NowNs() - begin) / 1'000'000));
  PEER_EXPECT(peer.state("workload").exit_kind == ExitKind::kExited && peer.state("workload").exit_value == 0);
}

// Init lives through whatever comes over the socket.
void RandomPackets(Peer& peer) {
  std::mt19937 random(7);
  Message good;
  init_protocol::EncodeDefine(1, SpecOf("victim", {"exit", "0"}), good);
  std::vector<uint8_t> base(good.bytes().begin(), good.bytes().end());
  for (int round = 0; round < 20'000; ++round) {
    std::vector<uint8_t> packet = base;
    if (random() % 3 == 0) packet.assign(random() % 200 + 1, 0);
    for (int change = random() % 6; change >= 0; --change) packet[random() % packet.size()] = random();
    if (random() % 4 == 0) packet.resize(random() % packet.size() + 1);
    // Not what ends the machine, and the right version, or the connection would end at once.
    if (packet.size() > 2 && packet[2] == 9) packet[2] = 10;
    if (packet.size() > 1) packet[0] = init_protocol::kVersion, packet[1] = 0;
    (void)!::send(init_protocol::kMachinedFd, packet.data(), packet.size(), MSG_NOSIGNAL);
    if (round % 8 == 7) PEER_EXPECT(peer.List() == 0);
  }
  PEER_EXPECT(peer.Define(SpecOf("after", {"exit", "3"})) == 0 || peer.last_error == ENOSPC);
  PEER_EXPECT(peer.List() == 0);
}

// What the machine's end has to cope with: a service that ignores SIGTERM, in a mount it keeps busy.
void PrepareEnd(Peer& peer) {
  ::mkdir("/var", 0755);
  PEER_EXPECT(::mount("tmpfs", "/var", "tmpfs", 0, nullptr) == 0);
  ::mkdir("/var/lib", 0755);
  PEER_EXPECT(::mount("tmpfs", "/var/lib", "tmpfs", 0, nullptr) == 0);
  for (const char* name : {"kubelet", "workload"}) {
    ServiceSpec spec = SpecOf(name, {"busy", "/var/lib"});
    spec.stop_timeout_ms = 60'000;
    PEER_EXPECT(peer.Define(spec) == 0);
    PEER_EXPECT(peer.Start(name) == 0);
    PEER_EXPECT(peer.WaitForState(name, RunState::kRunning));
  }
  SleepMs(100);
}

void Reboot(Peer& peer) { PrepareEnd(peer); }

void PowerOff(Peer& peer) {
  PrepareEnd(peer);
  Say("end");
  peer.Shutdown(EndAction::kPowerOff, false);
  while (true) ::pause();
}

void Forced(Peer& peer) {
  PrepareEnd(peer);
  PEER_EXPECT(peer.Shutdown(EndAction::kReboot, false) == 0);
  SleepMs(300);
  PEER_EXPECT(peer.Start("kubelet") == ESHUTDOWN);
  Say("end");
  peer.Shutdown(EndAction::kReboot, true);
  while (true) ::pause();
}

// Tells that it is there and waits: the test outside does something to init.
void Wait(Peer& peer) {
  PEER_EXPECT(peer.Define(SpecOf("some", {"pause"})) == 0);
  PEER_EXPECT(peer.Start("some") == 0);
  PEER_EXPECT(peer.WaitForState("some", RunState::kRunning));
  Say("waiting");
  while (true) ::pause();
}

constexpr struct {
  const char* name;
  void (*run)(Peer& peer);
} kScenarios[] = {
    {"exit-codes", ExitCodes},
    {"orphans", Orphans},
    {"ignores-term", IgnoresTerm},
    {"crash-loop", CrashLoop},
    {"start-stop", StartStop},
    {"define-remove", DefineRemove},
    {"listening-socket", ListeningSocket},
    {"machined-killed", MachinedKilled},
    {"flood", Flood},
    {"spawn-failures", SpawnFailures},
    {"credentials", Credentials},
    {"sandbox", Sandbox},
    {"random-packets", RandomPackets},
    {"reboot", Reboot},
    {"power-off", PowerOff},
    {"forced", Forced},
    {"wait", Wait},
};

}  // namespace

void (*FindScenario(const std::string& name))(Peer& peer) {
  for (const auto& scenario : kScenarios) {
    if (name == scenario.name) return scenario.run;
  }
  return nullptr;
}

}  // namespace stele::node_test
