// A connection to machined: the client side of HTTP/2 on its unix socket. Each client connection has
// its own, so that one client's slow reading stops no other's calls.
//
// Nothing is sent before machined's SETTINGS have come: a request that waits in the backlog of a
// machined that is down must not be carried out after its client was told that it failed.
#pragma once

#include <memory>
#include <string>

#include "apid/call.h"
#include "apid/http2.h"
#include "base/event_loop.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace stele {

// What happens to calls at machined's end; the client's connection implements it.
class UpstreamOwner {
 public:
  virtual ~UpstreamOwner() = default;
  // machined has answered: calls may be submitted.
  virtual void OnUpstreamReady(Upstream* upstream) = 0;
  // `call.headers` hold the response's headers; `ended` says that nothing follows.
  virtual void OnResponseHeaders(Call& call, bool ended) = 0;
  // `call.response` has more bytes, or has ended (then `call.trailers` are complete).
  virtual void OnResponseMore(Call& call) = 0;
  // `size` bytes of `call.request` were taken towards machined.
  virtual void OnRequestTaken(Call& call, size_t size) = 0;
  // The stream is gone; `error` is HTTP/2's.
  virtual void OnUpstreamClosed(Call& call, uint32_t error) = 0;
  // Its turn is over: whatever was queued in either session may go out.
  virtual void OnUpstreamTurn(Upstream* upstream, bool broken) = 0;
};

class Upstream : public FdHandler {
 public:
  // Connects to the socket at `path`. UNAVAILABLE where nobody listens.
  static absl::StatusOr<std::unique_ptr<Upstream>> Connect(EventLoop& loop, const std::string& path,
                                                           UpstreamOwner& owner);
  ~Upstream() override;

  bool ready() const { return ready_; }
  // machined takes no further calls here (GOAWAY).
  bool draining() const { return draining_; }

  // Begins the call with these headers; its data follows from call.request.
  absl::Status Submit(Call& call, const Headers& headers);
  // call.request has more, or has ended.
  void MoreRequest(Call& call) { http2::Resume(session_.get(), call.upstream_stream, call.request); }
  // `size` bytes of call.response were taken.
  void Credit(const Call& call, size_t size);
  void Reset(const Call& call, uint32_t error);

  // Sends what is queued. False when the connection is broken.
  bool Flush();
  // Whether a Flush would find something to do.
  bool WantsFlush() const { return !blocked_ && (nghttp2_session_want_write(session_.get()) != 0 || !out_.empty()); }
  void ReleaseMemory() { out_.Release(); }

  void OnReady(uint32_t events) override;

 private:
  Upstream(EventLoop& loop, UniqueFd fd, UpstreamOwner& owner) : loop_(loop), fd_(std::move(fd)), owner_(owner) {}
  absl::Status Start();
  bool ReadAll();

  static ssize_t OnSend(nghttp2_session*, const uint8_t* data, size_t size, int, void* user);
  static int OnSendData(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t length,
                        nghttp2_data_source* source, void* user);
  static ssize_t OnReadRequest(nghttp2_session*, int32_t, uint8_t*, size_t length, uint32_t* flags,
                               nghttp2_data_source* source, void* user);
  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* user);
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int OnData(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t size, void* user);
  static int OnStreamClose(nghttp2_session*, int32_t stream, uint32_t error, void* user);

  EventLoop& loop_;
  UniqueFd fd_;
  UpstreamOwner& owner_;
  http2::Session session_;
  ByteQueue out_;
  bool ready_ = false;
  bool draining_ = false;
  bool blocked_ = false;  // the socket is full
};

}  // namespace stele
