// The connection to machined (base/init_protocol.h).
//
// machined may be absent, slow or wrong at any moment, and init never waits for it. What is to be
// told is not queued but remembered as "changed" flags on services and phases, so that a machined
// that does not read costs nothing and gets the newest state when it reads again. One request is
// answered at a time, and none is read before the last answer is out.
#pragma once

#include <memory>

#include "base/event_loop.h"
#include "init/phases.h"
#include "init/supervisor.h"

namespace stele::init {

using init_protocol::EndAction;
using init_protocol::Message;

class Control : private FdHandler {
 public:
  // What is for the whole machine.
  class MachineEnder {
   public:
    virtual ~MachineEnder() = default;
    // Ends it; 0 or errno.
    virtual int EndMachine(EndAction action, bool force) = 0;
    // The image that runs is good.
    virtual void TrialOver() = 0;
    // machined is there and has said Hello.
    virtual void MachinedConnected() = 0;
    // machined told of a phase of its.
    virtual void PhaseTold(const Phase& phase) = 0;
  };

  Control(EventLoop& loop, Supervisor& supervisor, PhaseTable& phases, MachineEnder& ender);
  ~Control() override { Disconnect(); }

  // Makes a new pair, drops the old one; machined's end or -1, for the caller to close.
  int NewConnection();
  void Disconnect();
  // machined has ended: does what it had still asked for, then disconnects.
  void PeerGone();
  // machined has said Hello and is connected.
  bool connected() const { return greeted_; }

  // Sends what there is to send, as far as machined reads.
  void Flush();

 private:
  static constexpr uint32_t kNoRequest = 0;
  static constexpr size_t kNotListing = SIZE_MAX;
  static constexpr uint32_t kBadPacketsTold = 5;  // of one connection; more would drown the log

  void OnReady(uint32_t events) override;
  void Receive();
  void Handle(absl::Span<const uint8_t> packet);
  int HandleRequest(init_protocol::Header header, absl::Span<const uint8_t> packet, std::string& text);
  int Define(absl::Span<const uint8_t> packet, std::string& text);
  void Reply(uint32_t request, int error, absl::string_view text);
  bool FlushReply();
  bool FlushList();
  bool FlushChanges();
  bool SendState(uint32_t request, Service& service, bool with_log);
  // False when machined does not take it now, or is gone.
  bool Send(const Message& message, int fd = -1);
  void WatchForRoom(bool watch);

  EventLoop& loop_;
  Supervisor& supervisor_;
  PhaseTable& phases_;
  MachineEnder& ender_;
  UniqueFd socket_;
  bool greeted_ = false;
  bool peer_gone_ = false;  // answers go nowhere
  bool watches_room_ = false;
  uint32_t bad_packets_ = 0;
  bool reply_waits_ = false;
  uint32_t list_request_ = kNoRequest;
  size_t list_at_ = kNotListing;
  std::vector<const Service*> has_log_;  // whose log pipe this machined was given
  Message reply_, message_;
  uint8_t packet_[init_protocol::kMaxMessage + 1];
};

}  // namespace stele::init
