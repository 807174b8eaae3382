// One client's connection, from accept to close. Its story:
//
//   kSilent      accepted; costs a descriptor and nothing else until a byte comes
//   kHandshake   TLS 1.3 under way
//   kOpen        the client is who its certificate says; calls are decided and forwarded
//   kDraining    GOAWAY was sent: running calls go on, new ones are for another connection
//   kClosed      waits to be deleted by the server
//
// One deadline covers accept to the client's HTTP/2 SETTINGS; later ones cover idleness and age.
// Everything happens on the server's one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apid/audit.h"
#include "apid/call.h"
#include "apid/http2.h"
#include "apid/identity.h"
#include "apid/keys.h"
#include "apid/peer.h"
#include "apid/tls.h"
#include "apid/upstream.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace stele {

class Connection;

// Asks before a connection becomes more expensive.
class Gatekeeper {
 public:
  virtual ~Gatekeeper() = default;
  // `connection` has said its first byte. May close another one to make room.
  virtual void AdmitHandshake(const Connection& connection) = 0;
  // Its certificate is good. False: there are too many clients.
  virtual bool AdmitClient(const Connection& connection) = 0;
};

// What connections share, and how they tell the server about themselves.
struct Shared {
  Gatekeeper& gatekeeper;
  EventLoop& loop;
  const Keys& keys;
  Audit& audit;
  std::string machined_socket;
  std::vector<Connection*> unfinished;  // have more to do at once, though no descriptor will say so
  bool closed_some = false;             // a connection has become kClosed
};

// CLOCK_MONOTONIC.
int64_t NowMs();

class Connection : public FdHandler, private UpstreamOwner {
 public:
  enum class State { kSilent, kHandshake, kOpen, kDraining, kClosed };

  Connection(Shared& shared, UniqueFd fd, Peer peer);
  ~Connection() override;
  absl::Status Start();

  State state() const { return state_; }
  const Peer& peer() const { return peer_; }
  bool authenticated() const { return state_ == State::kOpen || state_ == State::kDraining; }

  // Whether a deadline of seconds runs.
  bool has_short_deadline() const { return !settings_seen_ || !waiting_.empty() || state_ == State::kDraining; }
  // Deadlines. Called several times a second while there is a short one, else each second.
  void Tick();
  // Goes on with what an earlier turn left in Shared::unfinished.
  void Continue();
  // GOAWAY; closes when the last call has ended.
  void Drain();
  // Ends it, with its calls, unless its certificate is still taken: not revoked, of a CA that is trusted, and of a role
  // that may do what it could when the connection began.
  void EndUnlessTaken();
  // Ends it now. `why` goes to the audit where the client never became one.
  void Close(absl::string_view why);

  void OnReady(uint32_t events) override;

 private:
  // UpstreamOwner.
  void OnUpstreamReady(Upstream* upstream) override;
  void OnResponseHeaders(Call& call, bool ended) override;
  void OnResponseMore(Call& call) override;
  void OnRequestTaken(Call& call, size_t size) override;
  void OnUpstreamClosed(Call& call, uint32_t error) override;
  void OnUpstreamTurn(Upstream* upstream, bool broken) override;

  absl::Status CheckTaken() const;
  bool ContinueHandshake();
  absl::Status StartHttp2();
  bool ReadAll();
  void DropUpstream(Upstream* upstream);
  void Flush();
  bool FlushClient();
  void WatchOutput(bool wanted);
  void Unfinished();

  // Calls.
  void DecideCall(Call& call);
  absl::Status CheckCall(const Call& call) const;
  void ForwardCall(Call& call);
  void ConnectUpstream();
  void Respond(Call& call, Headers headers, bool ended);
  void Fail(Call& call, const absl::Status& status);
  void FinishResponse(Call& call, bool data_follows);
  void EndClientStream(Call& call);
  void SweepCalls();

  static ssize_t OnSend(nghttp2_session*, const uint8_t* data, size_t size, int, void* user);
  static int OnSendData(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t length,
                        nghttp2_data_source* source, void* user);
  static ssize_t OnReadResponse(nghttp2_session*, int32_t stream, uint8_t*, size_t length, uint32_t* flags,
                                nghttp2_data_source* source, void* user);
  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* user);
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int OnFrameSent(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int OnData(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t size, void* user);
  static int OnStreamClose(nghttp2_session*, int32_t stream, uint32_t error, void* user);

  Shared& shared_;
  UniqueFd fd_;
  Peer peer_;
  State state_ = State::kSilent;
  std::unique_ptr<TlsStream> tls_;
  http2::Session session_;
  bool settings_seen_ = false;  // the client's: the handshake deadline is met
  bool watching_output_ = false;
  bool in_unfinished_ = false;

  absl::StatusOr<Identity> identity_ = absl::UnauthenticatedError("no certificate yet");
  std::string serial_;               // of the certificate
  std::optional<Roles::Rule> rule_;  // of a narrow role, as it was when the connection began
  time_t certificate_ends_ = 0;

  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<Call*> waiting_;  // for machined
  std::unique_ptr<Upstream> upstream_;
  std::vector<std::unique_ptr<Upstream>> old_upstreams_;  // machined said GOAWAY; their calls run on

  int64_t accepted_ms_;
  int64_t age_limit_ms_;
  int64_t idle_since_ms_;
  int64_t close_at_ms_ = 0;      // in kDraining
  int64_t next_connect_ms_ = 0;  // to machined
  int64_t control_second_ = 0;
  int control_frames_ = 0;
};

}  // namespace stele
