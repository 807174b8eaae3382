// A scripted machined: the other end of init's control socket, for tests of init alone.
#pragma once

#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/init_protocol.h"
#include "base/unique_fd.h"

namespace stele::node_test {

using init_protocol::ExitKind;
using init_protocol::Message;
using init_protocol::Phase;
using init_protocol::RunState;
using init_protocol::ServiceState;

uint64_t NowNs();  // CLOCK_BOOTTIME, as init's times

// Talks to init over descriptor 3; ends the process when the connection breaks.
class Peer {
 public:
  Peer();  // says hello

  // Sends `message` and waits for its answer; init's errno.
  int Ask(const Message& message);
  int Define(const ServiceSpec& spec);
  int Start(const std::string& name);
  int Stop(const std::string& name);
  int Restart(const std::string& name);
  int Remove(const std::string& name);
  int List();
  int Shutdown(init_protocol::EndAction action, bool force);
  int Report(const Phase& phase);

  // Takes messages until `done` holds; false after `timeout_ms`.
  bool WaitFor(const std::function<bool()>& done, int timeout_ms = 10'000);
  // The same for a service's state.
  bool WaitForState(const std::string& name, RunState state, int timeout_ms = 10'000);

  // Defines and starts a service and waits until it has finished once more than before.
  bool RunToEnd(const ServiceSpec& spec, int timeout_ms = 10'000);

  ServiceState& state(const std::string& name) { return states[name]; }
  int log(const std::string& name) { return logs.count(name) ? logs[name].get() : -1; }

  std::map<std::string, ServiceState> states;
  std::map<std::string, UniqueFd> logs;
  std::map<std::string, Phase> phases;
  std::function<void(const ServiceState&)> on_state;  // for every State, if set
  int last_error = 0;
  std::string last_text;

 private:
  int AskNamed(init_protocol::Type type, const std::string& name);
  bool TakeOne(int timeout_ms);        // false at the time-out
  uint32_t next_request_ = 1'000'000;  // no id that random packets may have
  uint32_t answered_ = 0;
};

// Where tests and processes in the root leave what they found.
inline constexpr char kResultFile[] = "/result";

// Appends a line to the results; a failure begins with "FAIL".
void Say(const char* format, ...) __attribute__((format(printf, 1, 2)));

#define PEER_EXPECT(condition, ...)                                              \
  do {                                                                           \
    if (!(condition)) {                                                          \
      ::stele::node_test::Say("FAIL %s:%d: %s", __FILE__, __LINE__, #condition); \
      __VA_OPT__(::stele::node_test::Say("  " __VA_ARGS__);)                     \
    }                                                                            \
  } while (false)

// This program under another role, as an argv: what a service runs.
std::vector<std::string> Role(std::vector<std::string> words);
// A spec of the peer's usual kind.
ServiceSpec SpecOf(const std::string& name, std::vector<std::string> role);

// What the program does as a service; the exit code.
int RunRole(int argc, char** argv);

// A scenario by its name, nullptr for an unknown one. It ends the machine itself, or main does.
void (*FindScenario(const std::string& name))(Peer& peer);

}  // namespace stele::node_test
