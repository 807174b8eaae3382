// For tests: init as machined meets it, on the other end of the socket. It keeps what a real one would: services, their
// desired state and their hashes; and what it was asked.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/init_protocol.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "machined/owner_loop.h"

namespace stele::machined {

// Answers on the other end of the socket; outlives several machineds.
class FakeInit : public FdHandler {
 public:
  std::map<std::string, init_protocol::ServiceState> states;
  std::vector<std::string> requests;  // "start kubelet"
  bool refuse_define = false;
  bool refuse_end = false;
  bool ending = false;

  UniqueFd Connect(OwnerLoop& loop) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    socket_.reset(ends[0]);
    EXPECT_TRUE(loop.events().Add(socket_.get(), EPOLLIN, this).ok());
    init_protocol::EncodeHello(message_);
    Send();
    return UniqueFd(ends[1]);
  }

  void Exit(const std::string& name, init_protocol::RunState state) {
    states[name].state = state;
    states[name].pid = 0;
    states[name].exit_kind = init_protocol::ExitKind::kExited;
    Tell(name);
  }

  void OnReady(uint32_t) override {
    uint8_t packet[init_protocol::kMaxMessage];
    ssize_t size = ::recv(socket_.get(), packet, sizeof packet, MSG_DONTWAIT);
    if (size <= 0) return;
    Handle({packet, static_cast<size_t>(size)});
  }

 private:
  void Handle(absl::Span<const uint8_t> packet) {
    init_protocol::Header header = *init_protocol::DecodeHeader(packet);
    switch (header.type) {
      case init_protocol::Type::kHello:
        return;
      case init_protocol::Type::kList:
        for (auto& [name, state] : states) {
          init_protocol::EncodeState(header.request, state, message_);
          Send();
        }
        return Reply(header.request, 0);
      case init_protocol::Type::kDefine: {
        ServiceSpec spec = *init_protocol::DecodeDefine(packet);
        requests.push_back("define " + spec.name);
        if (refuse_define) return Reply(header.request, EINVAL);
        states[spec.name].name = spec.name;
        states[spec.name].spec_hash = init_protocol::SpecHash(spec);
        Reply(header.request, 0);
        return Tell(spec.name);
      }
      case init_protocol::Type::kStart:
      case init_protocol::Type::kRestart: {
        std::string name = *init_protocol::DecodeName(packet);
        requests.push_back((header.type == init_protocol::Type::kStart ? "start " : "restart ") + name);
        if (ending) return Reply(header.request, ESHUTDOWN);
        init_protocol::ServiceState& state = states[name];
        state.state = init_protocol::RunState::kRunning;
        state.desired_up = true;
        state.pid = ++last_pid_;
        ++state.starts;
        timespec now;
        ::clock_gettime(CLOCK_BOOTTIME, &now);
        state.started_ns = now.tv_sec * 1'000'000'000ULL + now.tv_nsec;
        Reply(header.request, 0);
        return Tell(name);
      }
      case init_protocol::Type::kStop: {
        std::string name = *init_protocol::DecodeName(packet);
        requests.push_back("stop " + name);
        states[name].desired_up = false;
        Reply(header.request, 0);
        return Exit(name, init_protocol::RunState::kStopped);
      }
      case init_protocol::Type::kKill:
        requests.push_back("kill " + *init_protocol::DecodeName(packet));
        return Reply(header.request, 0);
      case init_protocol::Type::kRemove: {
        std::string name = *init_protocol::DecodeName(packet);
        requests.push_back("remove " + name);
        states.erase(name);
        return Reply(header.request, 0);
      }
      case init_protocol::Type::kShutdown: {
        init_protocol::Shutdown shutdown = *init_protocol::DecodeShutdown(packet);
        requests.push_back(absl::StrCat(shutdown.force ? "end forced " : "end ", static_cast<int>(shutdown.action)));
        return Reply(header.request, refuse_end ? EBUSY : 0);
      }
      default:
        return Reply(header.request, EPROTO);
    }
  }
  void Tell(const std::string& name) {
    init_protocol::EncodeState(0, states[name], message_);
    Send();
  }
  void Reply(uint32_t request, int error) {
    init_protocol::EncodeReply(request, error, "", message_);
    Send();
  }
  void Send() {
    ssize_t sent = ::send(socket_.get(), message_.bytes().data(), message_.bytes().size(), 0);
    EXPECT_EQ(sent, static_cast<ssize_t>(message_.bytes().size()));
  }

  UniqueFd socket_;
  init_protocol::Message message_;
  int last_pid_ = 100;
};

}  // namespace stele::machined
