// The accept loop and the connections it let in. gRPC 1.51's own loop can be stopped for good by a few
// hundred plain TCP connects; this one keeps descriptors in reserve, counts connections in all, per
// source and before their handshake, and lets the oldest that said nothing make room.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "apid/connection.h"

namespace stele {

class Server : private FdHandler, private Gatekeeper {
 public:
  // `listener` listens and does not block; who connects waits in its backlog until there are `keys`. `stop` can be read
  // once the server should end.
  Server(EventLoop& loop, Keys& keys, Audit& audit, std::string machined_socket, UniqueFd listener, UniqueFd stop);
  ~Server() override;

  // Serves until `stop`, then lets running calls end within a bound.
  absl::Status Run();

 private:
  // The descriptor whose readability means the end.
  class StopHandler : public FdHandler {
   public:
    explicit StopHandler(Server& server) : server_(server) {}
    void OnReady(uint32_t) override;

   private:
    Server& server_;
  };

  void OnReady(uint32_t events) override;
  void OnKeys(Keys::News news);
  void EndWhoIsNotTaken();
  absl::Status Listen();
  void Admit(UniqueFd fd, Peer peer);
  // Gatekeeper.
  void AdmitHandshake(const Connection& connection) override;
  bool AdmitClient(const Connection& connection) override;

  // How many connections are in one of these states, of `source` only unless it is empty.
  size_t Count(std::initializer_list<Connection::State> states, absl::string_view source = "") const;
  // Closes the oldest connection in the first of these states that has any: of `source`, or, if that is
  // empty, of the source that has most of them.
  bool MakeRoom(std::initializer_list<Connection::State> states, absl::string_view source = "");
  void OutOfDescriptors();
  void Sweep();
  int TimeoutMs() const;

  Keys& keys_;
  Shared shared_;
  absl::Status failure_;  // ends Run
  UniqueFd listener_;
  UniqueFd stop_;
  UniqueFd spare_;  // given up for a moment when there is no descriptor left
  StopHandler stop_handler_{*this};
  std::vector<std::unique_ptr<Connection>> connections_;  // in the order they came
  size_t client_limit_;
  size_t connection_limit_;
  int64_t next_tick_ms_ = 0;
  int64_t trim_at_ms_ = 1;      // 0: nothing to give back
  int64_t stopping_at_ms_ = 0;  // 0: not yet
};

}  // namespace stele
