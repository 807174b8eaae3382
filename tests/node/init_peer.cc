#include "init_peer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/file.h"

namespace stele::node_test {

using init_protocol::Type;

uint64_t NowNs() {
  timespec time;
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

void Say(const char* format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (size > 1000) size = 1000;
  line[size++] = '\n';
  UniqueFd file(::open(kResultFile, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  (void)!::write(file.get(), line, static_cast<size_t>(size));
}

Peer::Peer() {
  Message hello;
  init_protocol::EncodeHello(hello);
  (void)!::send(init_protocol::kMachinedFd, hello.bytes().data(), hello.bytes().size(), MSG_NOSIGNAL);
}

bool Peer::TakeOne(int timeout_ms) {
  pollfd ready = {.fd = init_protocol::kMachinedFd, .events = POLLIN};
  if (::poll(&ready, 1, timeout_ms) <= 0) return false;
  static uint8_t packet[init_protocol::kMaxMessage];
  iovec part = {packet, sizeof packet};
  alignas(cmsghdr) char space[CMSG_SPACE(init_protocol::kMaxFds * sizeof(int))];
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = space;
  header.msg_controllen = sizeof space;
  ssize_t size = ::recvmsg(init_protocol::kMachinedFd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (size <= 0) {
    Say("FAIL the connection to init broke");
    ::_exit(1);
  }
  UniqueFd passed;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    passed.reset(fd);
  }
  absl::Span<const uint8_t> bytes(packet, static_cast<size_t>(size));
  absl::StatusOr<init_protocol::Header> head = init_protocol::DecodeHeader(bytes);
  if (!head.ok()) {
    Say("FAIL init sent what is no message");
    return true;
  }
  if (head->type == Type::kState) {
    absl::StatusOr<ServiceState> state = init_protocol::DecodeState(bytes);
    if (!state.ok()) {
      Say("FAIL init sent a state that does not decode: %s", std::string(state.status().message()).c_str());
      return true;
    }
    if (passed.ok()) logs[state->name] = std::move(passed);
    states[state->name] = *state;
    if (on_state) on_state(*state);
  } else if (head->type == Type::kPhase) {
    absl::StatusOr<Phase> phase = init_protocol::DecodePhase(bytes);
    if (phase.ok()) phases[phase->name] = *phase;
  } else if (head->type == Type::kReply) {
    absl::StatusOr<init_protocol::Reply> reply = init_protocol::DecodeReply(bytes);
    last_error = reply.ok() ? reply->error : -1;
    last_text = reply.ok() ? reply->text : "";
    answered_ = head->request;
  }
  return true;
}

int Peer::Ask(const Message& message) {
  (void)!::send(init_protocol::kMachinedFd, message.bytes().data(), message.bytes().size(), MSG_NOSIGNAL);
  uint32_t request = init_protocol::DecodeHeader(message.bytes())->request;
  while (answered_ != request) {
    if (!TakeOne(10'000)) {
      Say("FAIL init did not answer within 10 s");
      ::_exit(1);
    }
  }
  return last_error;
}

int Peer::Define(const ServiceSpec& spec) {
  Message message;
  init_protocol::EncodeDefine(next_request_++, spec, message);
  return Ask(message);
}
int Peer::AskNamed(Type type, const std::string& name) {
  Message message;
  init_protocol::EncodeName(type, next_request_++, name, message);
  return Ask(message);
}
int Peer::Start(const std::string& name) { return AskNamed(Type::kStart, name); }
int Peer::Stop(const std::string& name) { return AskNamed(Type::kStop, name); }
int Peer::Restart(const std::string& name) { return AskNamed(Type::kRestart, name); }
int Peer::Remove(const std::string& name) { return AskNamed(Type::kRemove, name); }
int Peer::List() {
  Message message;
  init_protocol::EncodeList(next_request_++, message);
  return Ask(message);
}
int Peer::Shutdown(init_protocol::EndAction action, bool force) {
  Message message;
  init_protocol::EncodeShutdown(next_request_++, action, force, message);
  return Ask(message);
}
int Peer::Report(const Phase& phase) {
  Message message;
  init_protocol::EncodePhase(next_request_++, phase, message);
  return Ask(message);
}

bool Peer::WaitFor(const std::function<bool()>& done, int timeout_ms) {
  uint64_t until = NowNs() + static_cast<uint64_t>(timeout_ms) * 1'000'000;
  while (!done()) {
    uint64_t now = NowNs();
    if (now >= until) return false;
    TakeOne(static_cast<int>((until - now) / 1'000'000) + 1);
  }
  return true;
}

bool Peer::WaitForState(const std::string& name, RunState state, int timeout_ms) {
  return WaitFor([&] { return states.count(name) > 0 && states[name].state == state; }, timeout_ms);
}

bool Peer::RunToEnd(const ServiceSpec& spec, int timeout_ms) {
  uint32_t starts = states.count(spec.name) ? states[spec.name].starts : 0;
  if (Define(spec) != 0 || Start(spec.name) != 0) return false;
  // A State of before the start may still be on its way.
  return WaitFor([&] { return states[spec.name].starts > starts && states[spec.name].state == RunState::kFinished; },
                 timeout_ms);
}

std::vector<std::string> Role(std::vector<std::string> words) {
  words.insert(words.begin(), {"/usr/lib/stele/machined", "role"});
  return words;
}

ServiceSpec SpecOf(const std::string& name, std::vector<std::string> role) {
  return {.name = name,
          .argv = Role(std::move(role)),
          .all_capabilities = true,
          .restart = RestartPolicy::kNever,
          .stop_timeout_ms = 2'000};
}

}  // namespace stele::node_test

using namespace stele::node_test;

// As machined: does the scenario that /scenario names, then ends the machine. As a service: a role.
int main(int argc, char** argv) {
  if (argc > 2 && strcmp(argv[1], "role") == 0) return RunRole(argc - 2, argv + 2);
  absl::StatusOr<std::string> name = stele::ReadFile("/scenario");
  auto scenario = name.ok() ? FindScenario(*name) : nullptr;
  Peer peer;
  if (scenario == nullptr) {
    Say("FAIL no such scenario");
  } else {
    scenario(peer);
  }
  Say("end");
  peer.Shutdown(stele::init_protocol::EndAction::kReboot, false);
  while (true) ::pause();
}
