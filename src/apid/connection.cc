#include "apid/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <random>

#include "absl/strings/match.h"
#include "apid/authorize.h"

namespace stele {
namespace {

constexpr size_t kPlainBytes = 64 * 1024;      // serialised frames that are encrypted at a time
constexpr size_t kCipherBytes = 256 * 1024;    // encrypted bytes that may wait for the socket
constexpr size_t kBytesPerTurn = 1024 * 1024;  // then the other connections have their turn
constexpr size_t kInBytes = 64 * 1024;
constexpr int kReadsPerTurn = 8;
constexpr int64_t kReconnectMs = 50;

// Frames on their way into TLS. One for all connections: there is one thread, and it is empty
// whenever that thread is elsewhere.
ByteQueue& Plain() {
  static auto* const plain = new ByteQueue;
  return *plain;
}

Call* CallOf(nghttp2_session* session, int32_t stream) {
  return static_cast<Call*>(nghttp2_session_get_stream_user_data(session, stream));
}

// A spread of a tenth, so that clients that came together do not all leave together.
int64_t AgeLimit() {
  static std::minstd_rand random(std::random_device{}());
  int64_t tenth = kLimits.age_ms / 10;
  return kLimits.age_ms - tenth + static_cast<int64_t>(random() % static_cast<uint64_t>(2 * tenth));
}

// Headers that end at apid: HTTP's own, and whatever would claim an identity.
bool IsForwarded(absl::string_view name) {
  return !absl::StartsWith(name, ":") && !absl::StartsWith(name, "stele-") && name != "te" && name != "host" &&
         name != "connection" && name != "grpc-accept-encoding" && name != "content-length";
}

}  // namespace

int64_t NowMs() {
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

Connection::Connection(Shared& shared, UniqueFd fd, Peer peer)
    : shared_(shared),
      fd_(std::move(fd)),
      peer_(std::move(peer)),
      accepted_ms_(NowMs()),
      age_limit_ms_(AgeLimit()),
      idle_since_ms_(NowMs()) {}

Connection::~Connection() { Close("closed"); }

absl::Status Connection::Start() {
  int on = 1, idle_s = 60, interval_s = 10, probes = 3, unacknowledged_ms = 5 * 60'000;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // A client that vanished without a word is found out by the kernel.
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
  return shared_.loop.Add(fd_.get(), EPOLLIN, this);
}

void Connection::Close(absl::string_view why) {
  if (state_ == State::kClosed) return;
  // machined asks every few seconds whether a whole handshake still works, and has no certificate to show.
  bool probe = peer_.is_loopback && tls_ != nullptr && tls_->client_showed_nothing();
  if (!authenticated() && !probe) shared_.audit.WriteRefusal(peer_.text, why, NowMs());
  if (tls_ != nullptr) {
    if (authenticated()) tls_->Shutdown();
    tls_->Flush();  // the alert that says why; a full socket is not waited for
  }
  for (auto& call : calls_) {
    if (call->client_open) EndClientStream(*call);
  }
  state_ = State::kClosed;
  shared_.loop.Remove(fd_.get(), this);
  waiting_.clear();
  upstream_.reset();  // machined cancels what still ran
  old_upstreams_.clear();
  session_.reset();
  calls_.clear();
  tls_.reset();
  fd_.reset();
  shared_.closed_some = true;
}

absl::Status Connection::CheckTaken() const {
  X509* leaf = tls_ == nullptr ? nullptr : tls_->peer_certificate();
  if (leaf == nullptr) return absl::OkStatus();  // it is looked at when its handshake is done
  if (shared_.keys.revoked().count(SerialOf(leaf)) > 0) {
    return absl::UnauthenticatedError("the client certificate was revoked");
  }
  const X509* authority = tls_->peer_authority();
  if (authority == nullptr || !shared_.keys.current()->Trusts(authority)) {
    return absl::UnauthenticatedError("the client certificate's CA is trusted no more");
  }
  if (!authenticated()) return absl::OkStatus();
  absl::StatusOr<Identity> now = IdentityOf(leaf, shared_.keys.roles());
  const Roles::Rule* rule = now.ok() && !now->wide.has_value() ? shared_.keys.roles().Find(now->role) : nullptr;
  bool same =
      now.ok() == identity_.ok() && (rule != nullptr) == rule_.has_value() && (rule == nullptr || *rule == *rule_);
  return same ? absl::OkStatus() : absl::PermissionDeniedError("the role of the client certificate has changed");
}

void Connection::EndUnlessTaken() {
  if (state_ == State::kClosed || state_ == State::kSilent) return;
  absl::Status taken = CheckTaken();
  if (taken.ok()) return;
  if (authenticated()) {
    waiting_.clear();
    for (auto& call : calls_) Fail(*call, taken);
    Flush();  // what the client takes at once; it is not waited for
  }
  Close(absl::string_view(taken.message()));
}

void Connection::Tick() {
  int64_t now = NowMs();
  if (!settings_seen_ && now - accepted_ms_ > kLimits.handshake_ms) return Close("handshake took too long");
  if (state_ == State::kDraining) {
    if (calls_.empty() || now > close_at_ms_) Close("drained");
    return;
  }
  if (state_ != State::kOpen) return;
  if (calls_.empty() && now - idle_since_ms_ > kLimits.idle_ms) return Drain();
  if (now - accepted_ms_ > age_limit_ms_) return Drain();
  if (!waiting_.empty()) {
    auto overdue =
        std::partition(waiting_.begin(), waiting_.end(), [now](const Call* call) { return now < call->wait_until_ms; });
    std::vector<Call*> failed(overdue, waiting_.end());
    waiting_.erase(overdue, waiting_.end());
    for (Call* call : failed) {
      Fail(*call, absl::UnavailableError("machined does not answer; the node may be starting it again: try later"));
    }
    // One that did not say a word in all this time is given up with the call.
    if (!failed.empty() && upstream_ != nullptr && !upstream_->ready()) upstream_.reset();
    if (!waiting_.empty() && upstream_ == nullptr && now >= next_connect_ms_) ConnectUpstream();
    return Flush();
  }
  if (calls_.empty()) {
    tls_->ReleaseMemory();
    if (upstream_ != nullptr) upstream_->ReleaseMemory();
  }
}

void Connection::Drain() {
  if (!authenticated()) return Close("apid ends");
  if (state_ == State::kDraining) return;
  state_ = State::kDraining;
  close_at_ms_ = NowMs() + kLimits.age_grace_ms;
  nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_.get()),
                        NGHTTP2_NO_ERROR, nullptr, 0);
  Flush();
}

void Connection::Unfinished() {
  if (in_unfinished_) return;
  in_unfinished_ = true;
  shared_.unfinished.push_back(this);
}

void Connection::Continue() {
  in_unfinished_ = false;
  if (state_ == State::kClosed) return;
  if (tls_ != nullptr && tls_->has_buffered_input() && !ReadAll()) return;
  Flush();
}

void Connection::OnReady(uint32_t events) {
  if (!authenticated() && !ContinueHandshake()) return;
  if ((events & ~static_cast<uint32_t>(EPOLLOUT)) != 0 && !ReadAll()) return;
  Flush();
}

// False while there is no client yet, or when it is gone.
bool Connection::ContinueHandshake() {
  if (tls_ == nullptr) {
    shared_.gatekeeper.AdmitHandshake(*this);
    auto made = TlsStream::Create(*shared_.keys.current(), fd_.get());
    if (!made.ok()) {
      Close(absl::string_view(made.status().message()));
      return false;
    }
    tls_ = *std::move(made);
    state_ = State::kHandshake;
  }
  TlsStream::Progress progress = tls_->Handshake();
  if (progress == TlsStream::Progress::kFailed || progress == TlsStream::Progress::kEnd) {
    Close(tls_->error().empty() ? "the client ended the connection" : std::string(tls_->error()));
    return false;
  }
  TlsStream::Progress sent = tls_->Flush();
  if (sent == TlsStream::Progress::kFailed) {
    Close("the client ended the connection");
    return false;
  }
  WatchOutput(sent == TlsStream::Progress::kWantRead);
  if (progress != TlsStream::Progress::kDone) return false;
  if (!shared_.gatekeeper.AdmitClient(*this)) {
    Close("too many clients");
    return false;
  }
  absl::Status started = StartHttp2();
  if (started.ok()) return true;
  Close(absl::string_view(started.message()));
  return false;
}

absl::Status Connection::StartHttp2() {
  static const nghttp2_session_callbacks* const callbacks = [] {
    auto made = http2::NewCallbacks();
    nghttp2_session_callbacks_set_send_callback(made.get(), &OnSend);
    nghttp2_session_callbacks_set_send_data_callback(made.get(), &OnSendData);
    nghttp2_session_callbacks_set_on_begin_headers_callback(made.get(), &OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(made.get(), &OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made.get(), &OnFrame);
    nghttp2_session_callbacks_set_on_frame_send_callback(made.get(), &OnFrameSent);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made.get(), &OnData);
    nghttp2_session_callbacks_set_on_stream_close_callback(made.get(), &OnStreamClose);
    nghttp2_session_callbacks_set_data_source_read_length_callback(made.get(), &http2::FrameLength);
    return made.release();
  }();
  X509* leaf = tls_->peer_certificate();
  if (leaf == nullptr) return absl::UnauthenticatedError("no client certificate");
  RETURN_IF_ERROR(CheckTaken());  // the handshake went by the keys it began with
  identity_ = IdentityOf(leaf, shared_.keys.roles());
  serial_ = SerialOf(leaf);
  if (identity_.ok() && !identity_->wide.has_value()) rule_ = *shared_.keys.roles().Find(identity_->role);
  certificate_ends_ = NotAfter(leaf);

  auto option = http2::NewOption();
  nghttp2_option_set_no_auto_window_update(option.get(), 1);  // OnRequestTaken does it, as machined reads
  nghttp2_option_set_stream_reset_rate_limit(option.get(), kLimits.resets_burst, kLimits.resets_per_second);
  nghttp2_option_set_max_outbound_ack(option.get(), 200);
  nghttp2_option_set_max_send_header_block_length(option.get(), 64 * 1024);
  nghttp2_session* session = nullptr;
  if (nghttp2_session_server_new2(&session, callbacks, this, option.get()) != 0) {
    return absl::ResourceExhaustedError("make an HTTP/2 session");
  }
  session_.reset(session);
  nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kLimits.streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kLimits.request_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kLimits.metadata_bytes},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 64 * 1024},
  };
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(kLimits.request_connection_window));
  state_ = State::kOpen;
  idle_since_ms_ = NowMs();
  // Greet machined while the client sends its own SETTINGS, so that the first call need not wait.
  if (identity_.ok()) ConnectUpstream();
  return absl::OkStatus();
}

bool Connection::ReadAll() {
  static uint8_t* const in = new uint8_t[kInBytes];  // one for all: there is one thread
  for (int i = 0; i < kReadsPerTurn; ++i) {
    size_t got = 0;
    TlsStream::Progress progress = tls_->Read(in, kInBytes, got);
    if (progress == TlsStream::Progress::kWantRead) return true;
    if (progress != TlsStream::Progress::kDone ||
        nghttp2_session_mem_recv(session_.get(), in, got) != static_cast<ssize_t>(got)) {
      Close("");
      return false;
    }
  }
  if (tls_->has_buffered_input()) Unfinished();
  return true;
}

// Both sessions in turn, until neither has anything to say: what one takes gives the other credit.
void Connection::Flush() {
  if (!authenticated()) return;
  for (int round = 0;; ++round) {
    if (upstream_ != nullptr && !upstream_->Flush()) DropUpstream(upstream_.get());
    for (auto& upstream : old_upstreams_) upstream->Flush();  // a broken one is found by its reads
    if (!FlushClient()) return;
    if (upstream_ == nullptr || !upstream_->WantsFlush()) break;
    if (round == 4) {
      Unfinished();
      break;
    }
  }
  if (nghttp2_session_want_read(session_.get()) == 0 && nghttp2_session_want_write(session_.get()) == 0 &&
      tls_->pending_out() == 0) {
    return Close("");  // nghttp2 gave the client up (too many resets, a protocol error)
  }
  SweepCalls();
}

bool Connection::FlushClient() {
  ByteQueue& plain = Plain();
  size_t encrypted = 0;
  for (;;) {
    TlsStream::Progress sent = tls_->Flush();
    if (sent == TlsStream::Progress::kFailed) {
      Close("");
      return false;
    }
    WatchOutput(sent == TlsStream::Progress::kWantRead);
    if (sent == TlsStream::Progress::kWantRead) return true;
    if (encrypted >= kBytesPerTurn) {
      Unfinished();
      return true;
    }
    while (tls_->pending_out() < kCipherBytes) {
      if (nghttp2_session_send(session_.get()) != 0) {
        Close("");
        return false;
      }
      if (plain.empty()) break;
      encrypted += plain.size();
      bool written = tls_->Write(plain.data(), plain.size());
      plain.Pop(plain.size());
      if (!written) {
        Close("");
        return false;
      }
    }
    if (tls_->pending_out() == 0) return true;
  }
}

void Connection::WatchOutput(bool wanted) {
  if (wanted == watching_output_) return;
  watching_output_ = wanted;
  uint32_t events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN;
  // Cannot fail for a descriptor that is watched already.
  shared_.loop.Modify(fd_.get(), events, this).IgnoreError();
}

// --- calls ---

absl::Status Connection::CheckCall(const Call& call) const {
  if (call.headers_too_large) {
    return absl::ResourceExhaustedError(absl::StrCat("metadata over ", kLimits.metadata_bytes, " bytes"));
  }
  if (certificate_ends_ < ::time(nullptr)) return absl::UnauthenticatedError("the client certificate has expired");
  if (!identity_.ok()) return identity_.status();
  RETURN_IF_ERROR(Authorize(*identity_, shared_.keys.roles(), call.path));
  absl::string_view encoding = FindHeader(call.headers, "grpc-encoding");
  if (!encoding.empty() && encoding != "identity") {
    return absl::UnimplementedError("compressed requests are not taken: a small one may be large inside");
  }
  return absl::OkStatus();
}

void Connection::DecideCall(Call& call) {
  call.request_complete = true;
  call.started_ms = NowMs();
  call.path = std::string(FindHeader(call.headers, ":path"));
  absl::string_view type = FindHeader(call.headers, "content-type");
  if (FindHeader(call.headers, ":method") != "POST" || !absl::StartsWith(type, "application/grpc")) {
    call.grpc_status = "13";
    return Respond(call, {{":status", "415"}, {"accept", "application/grpc"}}, true);
  }
  absl::Status checked = CheckCall(call);
  if (!checked.ok()) return Fail(call, checked);
  call.allowed = true;
  const Method* method = FindMethod(call.path);
  if (method->client_streaming || method->server_streaming) {
    shared_.audit.WriteCall({identity_->subject, identity_->role, serial_, peer_.text, call.path, "allow", "started"});
  }
  call.wait_until_ms = NowMs() + kLimits.machined_wait_ms;
  ForwardCall(call);
}

void Connection::ForwardCall(Call& call) {
  if (upstream_ != nullptr && upstream_->draining()) old_upstreams_.push_back(std::move(upstream_));
  if (upstream_ == nullptr && NowMs() >= next_connect_ms_) ConnectUpstream();
  if (upstream_ == nullptr || !upstream_->ready()) {
    waiting_.push_back(&call);
    return;
  }
  Headers headers = {
      {":method", "POST"}, {":scheme", "http"}, {":path", call.path}, {":authority", "localhost"}, {"te", "trailers"}};
  for (auto& pair : call.headers) {
    if (IsForwarded(pair.first)) headers.push_back(std::move(pair));
  }
  headers.emplace_back("stele-subject", PercentEncode(identity_->subject));
  headers.emplace_back("stele-role", identity_->role);
  if (rule_.has_value()) headers.emplace_back("stele-resources", rule_->resources);
  headers.emplace_back("stele-peer", peer_.text);
  absl::Status submitted = upstream_->Submit(call, headers);
  if (!submitted.ok()) Fail(call, submitted);
}

void Connection::ConnectUpstream() {
  next_connect_ms_ = NowMs() + kReconnectMs;
  auto connected = Upstream::Connect(shared_.loop, shared_.machined_socket, *this);
  if (connected.ok()) upstream_ = *std::move(connected);
  // Else the calls that wait try again, and in the end say that machined does not answer.
}

// Answers with these headers; unless `ended`, call.response follows.
void Connection::Respond(Call& call, Headers headers, bool ended) {
  auto pairs = http2::Pairs(headers);
  nghttp2_data_provider provider = {.source = {.ptr = &call}, .read_callback = &OnReadResponse};
  call.response_started = true;
  call.response_finished = ended;
  nghttp2_submit_response(session_.get(), call.client_stream, pairs.data(), pairs.size(), ended ? nullptr : &provider);
}

void Connection::Fail(Call& call, const absl::Status& status) {
  if (call.upstream_open) call.upstream->Reset(call, NGHTTP2_CANCEL);
  if (!call.client_open || call.response_finished || call.response.ended) return;
  if (!call.response_started) {
    call.grpc_status = absl::StrCat(static_cast<int>(status.code()));
    return Respond(call, StatusHeaders(status), true);
  }
  call.trailers = StatusTrailers(status);
  call.response.ended = true;
  OnResponseMore(call);
}

void Connection::OnUpstreamReady(Upstream* upstream) {
  if (upstream != upstream_.get()) return;
  std::vector<Call*> waiting = std::move(waiting_);
  waiting_.clear();
  for (Call* call : waiting) ForwardCall(*call);
}

void Connection::OnResponseHeaders(Call& call, bool ended) {
  if (!call.client_open || call.response_started) return;
  if (absl::StartsWith(FindHeader(call.headers, ":status"), "1")) return;  // the real ones follow
  Headers headers;
  headers.emplace_back(":status", std::string(FindHeader(call.headers, ":status")));
  for (auto& pair : call.headers) {
    if (IsForwarded(pair.first)) headers.push_back(std::move(pair));
  }
  if (ended) call.grpc_status = std::string(FindHeader(headers, "grpc-status"));
  Respond(call, std::move(headers), ended);
}

void Connection::OnResponseMore(Call& call) {
  if (!call.client_open || !call.response_started) return;
  if (call.response.ended) call.grpc_status = std::string(FindHeader(call.trailers, "grpc-status"));
  http2::Resume(session_.get(), call.client_stream, call.response);
}

void Connection::OnRequestTaken(Call& call, size_t size) {
  nghttp2_session_consume(session_.get(), call.client_stream, size);
}

void Connection::OnUpstreamClosed(Call& call, uint32_t error) {
  Fail(call, absl::Status(CodeFromReset(error), "machined ended the call"));
}

void Connection::OnUpstreamTurn(Upstream* upstream, bool broken) {
  if (broken) DropUpstream(upstream);
  Flush();
}

void Connection::DropUpstream(Upstream* upstream) {
  for (auto& call : calls_) {
    if (call->upstream != upstream) continue;
    call->upstream = nullptr;
    bool was_open = std::exchange(call->upstream_open, false);
    if (was_open) Fail(*call, absl::UnavailableError("machined ended while it worked on the call"));
  }
  if (upstream == upstream_.get()) upstream_.reset();
  old_upstreams_.erase(std::remove_if(old_upstreams_.begin(), old_upstreams_.end(),
                                      [upstream](const auto& old) { return old.get() == upstream; }),
                       old_upstreams_.end());
}

// The client's stream has ended, or ends with the connection: write the audit, tell machined.
void Connection::EndClientStream(Call& call) {
  call.client_open = false;
  waiting_.erase(std::remove(waiting_.begin(), waiting_.end(), &call), waiting_.end());
  if (call.upstream_open) call.upstream->Reset(call, NGHTTP2_CANCEL);
  if (!call.request_complete) return;
  shared_.audit.WriteCall({.subject = identity_.ok() ? absl::string_view(identity_->subject) : "",
                           .role = identity_.ok() ? absl::string_view(identity_->role) : "none",
                           .serial = serial_,
                           .peer = peer_.text,
                           .method = call.path,
                           .decision = call.allowed ? "allow" : "deny",
                           .result = call.response_finished ? StatusName(call.grpc_status) : "CANCELLED",
                           .took_ms = NowMs() - call.started_ms});
}

void Connection::SweepCalls() {
  auto done = std::partition(calls_.begin(), calls_.end(),
                             [](const auto& call) { return call->client_open || call->upstream_open; });
  if (done == calls_.end()) return;
  for (auto it = done; it != calls_.end(); ++it) {
    // What nobody took still counts against the connections' windows.
    nghttp2_session_consume_connection(session_.get(), (*it)->request.bytes.size());
    if ((*it)->upstream != nullptr) (*it)->upstream->Credit(**it, (*it)->response.bytes.size());
  }
  calls_.erase(done, calls_.end());
  old_upstreams_.erase(std::remove_if(old_upstreams_.begin(), old_upstreams_.end(),
                                      [this](const auto& old) {
                                        return std::none_of(calls_.begin(), calls_.end(), [&old](const auto& call) {
                                          return call->upstream == old.get();
                                        });
                                      }),
                       old_upstreams_.end());
  if (calls_.empty()) idle_since_ms_ = NowMs();
}

// --- nghttp2's callbacks, for the client's session ---

ssize_t Connection::OnSend(nghttp2_session*, const uint8_t* data, size_t size, int, void*) {
  if (Plain().size() >= kPlainBytes) return NGHTTP2_ERR_WOULDBLOCK;
  Plain().Append(data, size);
  return static_cast<ssize_t>(size);
}

ssize_t Connection::OnReadResponse(nghttp2_session* session, int32_t stream, uint8_t*, size_t length, uint32_t* flags,
                                   nghttp2_data_source* source, void*) {
  auto* call = static_cast<Call*>(source->ptr);
  bool last = false;
  ssize_t size = http2::NextBytes(call->response, length, flags, last);
  if (!last) return size;
  call->response_finished = true;
  if (!call->trailers.empty()) {
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    auto pairs = http2::Pairs(call->trailers);
    nghttp2_submit_trailer(session, stream, pairs.data(), pairs.size());
  }
  return size;
}

int Connection::OnSendData(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t length,
                           nghttp2_data_source* source, void*) {
  auto* call = static_cast<Call*>(source->ptr);
  if (Plain().size() >= kPlainBytes) return NGHTTP2_ERR_WOULDBLOCK;
  http2::TakeFrame(call->response, header, length, Plain());
  if (call->upstream != nullptr) call->upstream->Credit(*call, length);
  return 0;
}

int Connection::OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  auto* self = static_cast<Connection*>(user);
  auto call = std::make_unique<Call>();
  call->client_stream = frame->hd.stream_id;
  nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call.get());
  self->calls_.push_back(std::move(call));
  return 0;
}

int Connection::OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                         const uint8_t* value, size_t value_size, uint8_t, void*) {
  Call* call = CallOf(session, frame->hd.stream_id);
  if (call == nullptr || call->request_complete) return 0;  // trailers of a request mean nothing in gRPC
  call->header_bytes += name_size + value_size + 32;
  // HTTP's own headers do not count as metadata, but they are bounded just the same.
  if (call->header_bytes > kLimits.metadata_bytes + 1024) {
    call->headers_too_large = true;
  } else {
    call->headers.emplace_back(http2::View(name, name_size), http2::View(value, value_size));
  }
  return 0;
}

int Connection::OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  auto* self = static_cast<Connection*>(user);
  switch (frame->hd.type) {
    case NGHTTP2_SETTINGS:
      self->settings_seen_ = true;
      [[fallthrough]];
    case NGHTTP2_PING:
    case NGHTTP2_PRIORITY:
      if (NowMs() / 1000 != self->control_second_) {
        self->control_second_ = NowMs() / 1000;
        self->control_frames_ = 0;
      }
      if (++self->control_frames_ > kLimits.control_frames_per_second) {
        nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
      }
      return 0;
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
      break;
    default:
      return 0;
  }
  Call* call = CallOf(session, frame->hd.stream_id);
  if (call == nullptr) return 0;
  // The end first: a call that is answered at once should know that its request is whole.
  bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (ended) call->request.ended = true;
  if (!call->request_complete) {
    self->DecideCall(*call);
  } else if (ended && call->upstream_open) {
    call->upstream->MoreRequest(*call);
  }
  return 0;
}

int Connection::OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame, void*) {
  // An answer that came before the request was whole: the client need not send the rest.
  bool ended = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
               (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (ended && nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0) {
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
  }
  return 0;
}

int Connection::OnData(nghttp2_session* session, uint8_t, int32_t stream, const uint8_t* data, size_t size,
                       void* user) {
  auto* self = static_cast<Connection*>(user);
  Call* call = CallOf(session, stream);
  if (call == nullptr || call->response_finished || (!call->upstream_open && call->upstream != nullptr)) {
    nghttp2_session_consume(session, stream, size);  // nobody will take it
    return 0;
  }
  absl::Status metered = call->meter.Feed(data, size);
  if (!metered.ok()) {
    nghttp2_session_consume(session, stream, size);
    self->Fail(*call, metered);
    return 0;
  }
  call->request.bytes.Append(data, size);
  if (call->upstream_open) call->upstream->MoreRequest(*call);
  return 0;
}

int Connection::OnStreamClose(nghttp2_session* session, int32_t stream, uint32_t, void* user) {
  if (Call* call = CallOf(session, stream)) static_cast<Connection*>(user)->EndClientStream(*call);
  return 0;
}

}  // namespace stele
