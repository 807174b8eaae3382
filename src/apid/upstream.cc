#include "apid/upstream.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

namespace stele {
namespace {

constexpr size_t kOutBytes = 256 * 1024;  // serialised at a time
constexpr size_t kInBytes = 256 * 1024;   // received at a time
constexpr int kReadsPerTurn = 4;          // then the other connections have their turn
constexpr size_t kResponseHeaderBytes = 16 * 1024;

Call* CallOf(nghttp2_session* session, int32_t stream) {
  return static_cast<Call*>(nghttp2_session_get_stream_user_data(session, stream));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Upstream>> Upstream::Connect(EventLoop& loop, const std::string& path,
                                                            UpstreamOwner& owner) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return absl::InvalidArgumentError(absl::StrCat(path, " is too long"));
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrnoStatus("make a socket");
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return ErrnoStatus("connect to ", path);
  }
  std::unique_ptr<Upstream> upstream(new Upstream(loop, std::move(fd), owner));
  RETURN_IF_ERROR(upstream->Start());
  return upstream;
}

Upstream::~Upstream() { loop_.Remove(fd_.get(), this); }

absl::Status Upstream::Start() {
  static const nghttp2_session_callbacks* const callbacks = [] {
    auto made = http2::NewCallbacks();
    nghttp2_session_callbacks_set_send_callback(made.get(), &OnSend);
    nghttp2_session_callbacks_set_send_data_callback(made.get(), &OnSendData);
    nghttp2_session_callbacks_set_on_begin_headers_callback(made.get(), &OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(made.get(), &OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made.get(), &OnFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made.get(), &OnData);
    nghttp2_session_callbacks_set_on_stream_close_callback(made.get(), &OnStreamClose);
    nghttp2_session_callbacks_set_data_source_read_length_callback(made.get(), &http2::FrameLength);
    return made.release();
  }();
  auto option = http2::NewOption();
  nghttp2_option_set_no_auto_window_update(option.get(), 1);  // Credit does it, as the client reads
  nghttp2_session* session = nullptr;
  if (nghttp2_session_client_new2(&session, callbacks, this, option.get()) != 0) {
    return absl::ResourceExhaustedError("make an HTTP/2 session");
  }
  session_.reset(session);
  nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kLimits.response_window},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 256 * 1024},
  };
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(kLimits.response_connection_window));
  RETURN_IF_ERROR(loop_.Add(fd_.get(), EPOLLIN, this));
  return Flush() ? absl::OkStatus() : absl::UnavailableError("machined ended the connection");
}

absl::Status Upstream::Submit(Call& call, const Headers& headers) {
  nghttp2_data_provider provider = {.source = {.ptr = &call}, .read_callback = &OnReadRequest};
  auto pairs = http2::Pairs(headers);
  int32_t stream = nghttp2_submit_request(session_.get(), nullptr, pairs.data(), pairs.size(), &provider, &call);
  if (stream < 0) return absl::UnavailableError(nghttp2_strerror(stream));
  call.upstream = this;
  call.upstream_stream = stream;
  call.upstream_open = true;
  return absl::OkStatus();
}

void Upstream::Credit(const Call& call, size_t size) {
  nghttp2_session_consume(session_.get(), call.upstream_stream, size);
}

void Upstream::Reset(const Call& call, uint32_t error) {
  nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, call.upstream_stream, error);
}

bool Upstream::Flush() {
  for (;;) {
    if (nghttp2_session_send(session_.get()) != 0) return false;
    if (out_.empty()) break;
    ssize_t sent = ::send(fd_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent > 0) out_.Pop(static_cast<size_t>(sent));
    if (sent < 0) {
      if (!blocked_ && !loop_.Modify(fd_.get(), EPOLLIN | EPOLLOUT, this).ok()) return false;
      blocked_ = true;
      return true;
    }
  }
  if (blocked_ && !loop_.Modify(fd_.get(), EPOLLIN, this).ok()) return false;
  blocked_ = false;
  return true;
}

void Upstream::OnReady(uint32_t events) {
  bool alive = true;
  if (events & EPOLLOUT) {
    blocked_ = false;
    alive = loop_.Modify(fd_.get(), EPOLLIN, this).ok();
  }
  if (alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) alive = ReadAll();
  owner_.OnUpstreamTurn(this, !alive);  // may delete us
}

bool Upstream::ReadAll() {
  static uint8_t* const in = new uint8_t[kInBytes];  // one for all: there is one thread
  for (int i = 0; i < kReadsPerTurn; ++i) {
    ssize_t got = ::recv(fd_.get(), in, kInBytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    if (nghttp2_session_mem_recv(session_.get(), in, static_cast<size_t>(got)) != got) return false;
    if (static_cast<size_t>(got) < kInBytes / 2) break;
  }
  return nghttp2_session_want_read(session_.get()) != 0 || nghttp2_session_want_write(session_.get()) != 0;
}

ssize_t Upstream::OnSend(nghttp2_session*, const uint8_t* data, size_t size, int, void* user) {
  auto& out = static_cast<Upstream*>(user)->out_;
  if (out.size() >= kOutBytes) return NGHTTP2_ERR_WOULDBLOCK;
  out.Append(data, size);
  return static_cast<ssize_t>(size);
}

ssize_t Upstream::OnReadRequest(nghttp2_session*, int32_t, uint8_t*, size_t length, uint32_t* flags,
                                nghttp2_data_source* source, void*) {
  bool last = false;
  return http2::NextBytes(static_cast<Call*>(source->ptr)->request, length, flags, last);
}

int Upstream::OnSendData(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t length,
                         nghttp2_data_source* source, void* user) {
  auto* self = static_cast<Upstream*>(user);
  auto* call = static_cast<Call*>(source->ptr);
  if (self->out_.size() >= kOutBytes) return NGHTTP2_ERR_WOULDBLOCK;
  http2::TakeFrame(call->request, header, length, self->out_);
  self->owner_.OnRequestTaken(*call, length);
  return 0;
}

int Upstream::OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void*) {
  if (Call* call = CallOf(session, frame->hd.stream_id)) {
    call->headers.clear();
    call->header_bytes = 0;
  }
  return 0;
}

int Upstream::OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                       const uint8_t* value, size_t value_size, uint8_t, void*) {
  Call* call = CallOf(session, frame->hd.stream_id);
  if (call == nullptr) return 0;
  call->header_bytes += name_size + value_size + 32;
  if (call->header_bytes > kResponseHeaderBytes) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  call->headers.emplace_back(http2::View(name, name_size), http2::View(value, value_size));
  return 0;
}

int Upstream::OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  auto* self = static_cast<Upstream*>(user);
  if (frame->hd.type == NGHTTP2_SETTINGS && !self->ready_) {
    self->ready_ = true;
    self->owner_.OnUpstreamReady(self);
    return 0;
  }
  if (frame->hd.type == NGHTTP2_GOAWAY) self->draining_ = true;
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
  Call* call = CallOf(session, frame->hd.stream_id);
  if (call == nullptr) return 0;
  bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (frame->hd.type == NGHTTP2_HEADERS) {
    if (frame->headers.cat == NGHTTP2_HCAT_RESPONSE) {
      self->owner_.OnResponseHeaders(*call, ended);
      return 0;
    }
    if (ended) call->trailers = std::move(call->headers);
  }
  if (ended) {
    call->response.ended = true;
    self->owner_.OnResponseMore(*call);
  }
  return 0;
}

int Upstream::OnData(nghttp2_session* session, uint8_t, int32_t stream, const uint8_t* data, size_t size, void* user) {
  auto* self = static_cast<Upstream*>(user);
  Call* call = CallOf(session, stream);
  if (call == nullptr || !call->client_open) {
    nghttp2_session_consume(session, stream, size);
    return 0;
  }
  call->response.bytes.Append(data, size);
  self->owner_.OnResponseMore(*call);
  return 0;
}

int Upstream::OnStreamClose(nghttp2_session* session, int32_t stream, uint32_t error, void* user) {
  if (Call* call = CallOf(session, stream)) {
    call->upstream_open = false;
    static_cast<Upstream*>(user)->owner_.OnUpstreamClosed(*call, error);
  }
  return 0;
}

}  // namespace stele
