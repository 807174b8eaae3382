// machined's end of init's control socket (base/init_protocol.h). Owner thread only; never blocks:
// what the socket does not take at once waits here.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/init_protocol.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "machined/owner_loop.h"

namespace stele::machined {

// Told what init says, on the owner thread.
class InitListener {
 public:
  virtual ~InitListener() = default;
  // A service changed, or was listed. `log_pipe` holds the read end of its log pipe, or nothing.
  virtual void OnServiceState(const init_protocol::ServiceState& state, UniqueFd log_pipe) = 0;
  // A phase of init's, or one of machined's that an earlier machined reported.
  virtual void OnPhase(const init_protocol::Phase& phase) = 0;
  // Everything init had when we connected has been told.
  virtual void OnListed() = 0;
  // The connection ended or init speaks another version. machined cannot go on.
  virtual void OnLost(const absl::Status& why) = 0;
};

class InitClient : public FdHandler {
 public:
  // Borrows the loop and the listener, which outlive it.
  InitClient(OwnerLoop& loop, UniqueFd socket, InitListener& listener);
  ~InitClient() override;

  // Says Hello and asks for the List.
  absl::Status Start();

  // Each calls `done` once with init's answer; UNAVAILABLE when the connection ends before it.
  using Done = std::function<void(const absl::Status&)>;
  void Define(const ServiceSpec& spec, Done done);
  void Remove(absl::string_view name, Done done);
  void StartService(absl::string_view name, Done done);
  void StopService(absl::string_view name, Done done);
  void RestartService(absl::string_view name, Done done);
  // SIGKILL to all of it, now. What is wanted of it stays.
  void KillService(absl::string_view name, Done done);
  void Shutdown(init_protocol::EndAction action, bool force, Done done);
  // The image that runs is good: init no longer reboots at its trial's deadline.
  void EndTrial(Done done);
  void ReportPhase(const init_protocol::Phase& phase);

  // The machine is ending: init starts nothing any more.
  bool ending() const { return ending_; }

  void OnReady(uint32_t events) override;

 private:
  // Encodes with the next request id, sends, and remembers who waits.
  void Request(const std::function<void(uint32_t, init_protocol::Message&)>& encode, Done done);
  void SendName(init_protocol::Type type, absl::string_view name, Done done);
  void Send(const init_protocol::Message& message);
  void Flush();
  // False when there is nothing more to read now.
  bool Receive();
  absl::Status Handle(absl::Span<const uint8_t> packet, std::vector<UniqueFd> fds);
  void Lose(const absl::Status& why);

  OwnerLoop& loop_;
  UniqueFd socket_;
  InitListener& listener_;
  bool greeted_ = false;
  bool lost_ = false;
  bool ending_ = false;
  bool want_write_ = false;
  uint32_t last_request_ = 0;
  std::map<uint32_t, Done> waiting_;
  std::deque<std::string> unsent_;
};

}  // namespace stele::machined
