#include "init/control.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "init/log.h"

namespace stele::init {

using init_protocol::Header;
using init_protocol::Type;

Control::Control(EventLoop& loop, Supervisor& supervisor, PhaseTable& phases, MachineEnder& ender)
    : loop_(loop), supervisor_(supervisor), phases_(phases), ender_(ender) {
  has_log_.reserve(init_protocol::kMaxServices);
}

int Control::NewConnection() {
  Disconnect();
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return -1;
  UniqueFd ours(ends[0]), theirs(ends[1]);
  if (!loop_.Add(ours.get(), EPOLLIN, this).ok()) return -1;
  socket_ = std::move(ours);
  init_protocol::EncodeHello(message_);
  Send(message_);
  return theirs.release();
}

void Control::Disconnect() {
  if (socket_.ok()) loop_.Remove(socket_.get(), this);
  socket_.reset();
  greeted_ = watches_room_ = reply_waits_ = false;
  bad_packets_ = 0;
  list_at_ = kNotListing;
  has_log_.clear();
}

void Control::PeerGone() {
  peer_gone_ = true;
  for (int i = 0; i < 16 && socket_.ok(); ++i) Receive();
  peer_gone_ = false;
  Disconnect();
}

void Control::OnReady(uint32_t events) {
  if (events & EPOLLIN) {
    Receive();
  } else if (events & (EPOLLHUP | EPOLLERR)) {
    Disconnect();  // its end is noticed by its exit; a machined that closed this is of no use and will be restarted
  }
}

void Control::Receive() {
  // A few at a time: others want their turn.
  for (int i = 0; i < 16 && socket_.ok() && !reply_waits_ && list_at_ == kNotListing; ++i) {
    // No room for descriptors: the kernel closes what a confused machined sends along.
    ssize_t size = ::recv(socket_.get(), packet_, sizeof packet_, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) return Disconnect();
    Handle({packet_, static_cast<size_t>(size)});
    Flush();
  }
}

void Control::Handle(absl::Span<const uint8_t> packet) {
  absl::StatusOr<Header> header = init_protocol::DecodeHeader(packet);
  if (!header.ok()) {
    if (++bad_packets_ <= kBadPacketsTold) {
      Log(Level::kError, "machined sent no message: %s", std::string(header.status().message()).c_str());
    }
    if (header.status().code() == absl::StatusCode::kFailedPrecondition) Disconnect();  // another version
    return;
  }
  if (header->type == Type::kHello) {
    greeted_ = true;
    ender_.MachinedConnected();
    phases_.MarkAllChanged();
    for (auto& service : supervisor_.services()) service->MarkChanged();
    return;
  }
  if (!greeted_) return Reply(header->request, EPROTO, "say hello first");
  std::string text;
  int error;
  try {
    error = HandleRequest(*header, packet, text);
  } catch (const std::bad_alloc&) {
    error = ENOMEM;
  }
  if (header->type == Type::kList && error == 0) {
    list_request_ = header->request;
    list_at_ = 0;  // answered after the last State
    return;
  }
  Reply(header->request, error, text.empty() && error != 0 ? strerrorname_np(error) : absl::string_view(text));
}

int Control::HandleRequest(Header header, absl::Span<const uint8_t> packet, std::string& text) {
  auto invalid = [&](const absl::Status& status) {
    text = std::string(status.message());
    return EINVAL;
  };
  switch (header.type) {
    case Type::kDefine:
      return Define(packet, text);
    case Type::kStart:
    case Type::kStop:
    case Type::kRestart:
    case Type::kKill:
    case Type::kRemove: {
      absl::StatusOr<std::string> name = init_protocol::DecodeName(packet);
      if (!name.ok()) return invalid(name.status());
      if (header.type == Type::kStart) return supervisor_.Start(*name);
      if (header.type == Type::kStop) return supervisor_.Stop(*name);
      if (header.type == Type::kRestart) return supervisor_.Restart(*name);
      if (header.type == Type::kKill) return supervisor_.Kill(*name);
      const Service* service = supervisor_.Find(*name);
      int error = supervisor_.Remove(*name);
      if (error == 0) has_log_.erase(std::remove(has_log_.begin(), has_log_.end(), service), has_log_.end());
      return error;
    }
    case Type::kShutdown: {
      absl::StatusOr<init_protocol::Shutdown> shutdown = init_protocol::DecodeShutdown(packet);
      if (!shutdown.ok()) return invalid(shutdown.status());
      return ender_.EndMachine(shutdown->action, shutdown->force);
    }
    case Type::kPhase: {
      absl::StatusOr<Phase> phase = init_protocol::DecodePhase(packet);
      if (!phase.ok()) return invalid(phase.status());
      phase->by_machined = true;
      ender_.PhaseTold(*phase);
      return phases_.Store(*std::move(phase), PhaseTable::kMostWithMachined) ? 0 : ENOSPC;
    }
    case Type::kTrialOver: {
      absl::Status status = init_protocol::DecodeTrialOver(packet);
      if (!status.ok()) return invalid(status);
      ender_.TrialOver();
      return 0;
    }
    case Type::kList:
      return 0;
    case Type::kHello:
    case Type::kReply:
    case Type::kState:
      break;
  }
  text = "init does not take this message";
  return EPROTO;
}

int Control::Define(absl::Span<const uint8_t> packet, std::string& text) {
  absl::StatusOr<ServiceSpec> spec = init_protocol::DecodeDefine(packet);
  absl::Status status = spec.status();
  if (spec.ok() && spec->name == kMachined) {
    text = "machined's own spec is init's";
    return EPERM;
  }
  if (spec.ok()) status = supervisor_.Define(*std::move(spec));
  if (status.ok()) return 0;
  text = std::string(status.message());
  return status.code() == absl::StatusCode::kResourceExhausted ? ENOSPC : EINVAL;
}

void Control::Reply(uint32_t request, int error, absl::string_view text) {
  init_protocol::EncodeReply(request, error, text, reply_);
  reply_waits_ = true;
}

void Control::Flush() {
  if (!socket_.ok()) return;
  bool all = FlushReply() && (!greeted_ || (FlushList() && FlushChanges()));
  if (socket_.ok()) WatchForRoom(!all);
}

bool Control::FlushReply() {
  if (!reply_waits_) return true;
  if (!Send(reply_)) return false;
  reply_waits_ = false;
  return true;
}

bool Control::FlushList() {
  if (list_at_ == kNotListing) return true;
  const auto& services = supervisor_.services();
  for (; list_at_ < services.size(); ++list_at_) {
    if (!SendState(list_request_, *services[list_at_], /*with_log=*/true)) return false;
  }
  list_at_ = kNotListing;
  Reply(list_request_, 0, "");
  return FlushReply();
}

bool Control::FlushChanges() {
  for (size_t at = 0; at < phases_.size(); ++at) {
    if (!phases_.TakeChanged(at)) continue;
    init_protocol::EncodePhase(0, phases_[at], message_);
    if (!Send(message_)) {
      if (socket_.ok()) phases_.MarkAllChanged();  // some twice rather than one never
      return false;
    }
  }
  for (auto& service : supervisor_.services()) {
    if (!service->TakeChanged()) continue;
    bool with_log =
        service->log().read_end() >= 0 && std::find(has_log_.begin(), has_log_.end(), service.get()) == has_log_.end();
    if (!SendState(0, *service, with_log)) {
      service->MarkChanged();
      return false;
    }
  }
  return true;
}

bool Control::SendState(uint32_t request, Service& service, bool with_log) {
  init_protocol::EncodeState(request, service.state(), message_);
  int log = with_log ? service.log().read_end() : -1;
  if (!Send(message_, log)) return false;
  if (log >= 0 && std::find(has_log_.begin(), has_log_.end(), &service) == has_log_.end()) {
    has_log_.push_back(&service);
  }
  return true;
}

bool Control::Send(const Message& message, int fd) {
  if (peer_gone_) return true;
  iovec part = {.iov_base = const_cast<uint8_t*>(message.bytes().data()), .iov_len = message.bytes().size()};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof fd)] = {};
  if (fd >= 0) {
    header.msg_control = space;
    header.msg_controllen = sizeof space;
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  ssize_t sent;
  do {
    sent = ::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return true;
  if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS) return false;
  Disconnect();
  return false;
}

// While machined does not read, its requests are not read either.
void Control::WatchForRoom(bool watch) {
  if (watch == watches_room_) return;
  uint32_t events = watch ? EPOLLOUT : EPOLLIN;
  if (loop_.Modify(socket_.get(), events, this).ok()) watches_room_ = watch;
}

}  // namespace stele::init
