#include "machined/init_client.h"

#include <sys/socket.h>

#include <memory>

namespace stele::machined {

using init_protocol::Message;
using init_protocol::Type;

namespace {

constexpr size_t kMaxUnsent = 512;   // packets; init answers in order, so this many never pile up while it lives
constexpr int kPacketsPerTurn = 64;  // then the other descriptors get their turn

std::vector<UniqueFd> TakeDescriptors(msghdr& header) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const int* passed = reinterpret_cast<const int*>(CMSG_DATA(part));
    for (size_t i = 0; i < count; ++i) fds.emplace_back(passed[i]);
  }
  return fds;
}

}  // namespace

InitClient::InitClient(OwnerLoop& loop, UniqueFd socket, InitListener& listener)
    : loop_(loop), socket_(std::move(socket)), listener_(listener) {}

InitClient::~InitClient() {
  if (socket_.ok()) loop_.events().Remove(socket_.get(), this);
}

absl::Status InitClient::Start() {
  RETURN_IF_ERROR(Annotate(loop_.events().Add(socket_.get(), EPOLLIN, this), "listen to init"));
  auto hello = std::make_unique<Message>();
  init_protocol::EncodeHello(*hello);
  Send(*hello);
  Request([](uint32_t id, Message& out) { init_protocol::EncodeList(id, out); },
          [this](const absl::Status& status) {
            if (status.ok()) listener_.OnListed();
          });
  return absl::OkStatus();
}

void InitClient::Request(const std::function<void(uint32_t, Message&)>& encode, Done done) {
  if (lost_) return done(absl::UnavailableError("init: the connection has ended"));
  uint32_t id = ++last_request_;
  if (id == 0) id = ++last_request_;  // 0 is what init tells unasked
  auto message = std::make_unique<Message>();
  encode(id, *message);
  if (!message->ok()) return done(absl::InvalidArgumentError("ask init: the message is too large"));
  waiting_[id] = std::move(done);
  Send(*message);
}

void InitClient::Define(const ServiceSpec& spec, Done done) {
  Request([&](uint32_t id, Message& out) { init_protocol::EncodeDefine(id, spec, out); }, std::move(done));
}

void InitClient::SendName(Type type, absl::string_view name, Done done) {
  Request([&](uint32_t id, Message& out) { init_protocol::EncodeName(type, id, name, out); }, std::move(done));
}

void InitClient::Remove(absl::string_view name, Done done) { SendName(Type::kRemove, name, std::move(done)); }
void InitClient::StartService(absl::string_view name, Done done) { SendName(Type::kStart, name, std::move(done)); }
void InitClient::StopService(absl::string_view name, Done done) { SendName(Type::kStop, name, std::move(done)); }
void InitClient::RestartService(absl::string_view name, Done done) { SendName(Type::kRestart, name, std::move(done)); }
void InitClient::KillService(absl::string_view name, Done done) { SendName(Type::kKill, name, std::move(done)); }

void InitClient::Shutdown(init_protocol::EndAction action, bool force, Done done) {
  Request([&](uint32_t id, Message& out) { init_protocol::EncodeShutdown(id, action, force, out); },
          [this, done = std::move(done)](const absl::Status& status) {
            if (status.ok()) ending_ = true;
            done(status);
          });
}

void InitClient::EndTrial(Done done) {
  Request([](uint32_t id, Message& out) { init_protocol::EncodeTrialOver(id, out); }, std::move(done));
}

void InitClient::ReportPhase(const init_protocol::Phase& phase) {
  Request([&](uint32_t id, Message& out) { init_protocol::EncodePhase(id, phase, out); }, [](const absl::Status&) {});
}

void InitClient::Send(const Message& message) {
  if (unsent_.size() >= kMaxUnsent) return Lose(absl::UnavailableError("init does not read what it is asked"));
  unsent_.emplace_back(reinterpret_cast<const char*>(message.bytes().data()), message.bytes().size());
  Flush();
}

void InitClient::Flush() {
  while (!lost_ && !unsent_.empty()) {
    const std::string& packet = unsent_.front();
    ssize_t sent = ::send(socket_.get(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EINTR) break;
      return Lose(ErrnoStatus("send to init"));
    }
    unsent_.pop_front();
  }
  bool want = !lost_ && !unsent_.empty();
  if (want == want_write_ || lost_) return;
  want_write_ = want;
  absl::Status status = loop_.events().Modify(socket_.get(), want ? EPOLLIN | EPOLLOUT : EPOLLIN, this);
  if (!status.ok()) Lose(status);
}

void InitClient::OnReady(uint32_t events) {
  if (events & EPOLLOUT) Flush();
  for (int i = 0; i < kPacketsPerTurn && !lost_; ++i) {
    if (!Receive()) return;
  }
}

bool InitClient::Receive() {
  uint8_t packet[init_protocol::kMaxMessage];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * init_protocol::kMaxFds)];
  iovec part = {.iov_base = packet, .iov_len = sizeof packet};
  msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t size = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0) {
    if (errno != EAGAIN && errno != EINTR) Lose(ErrnoStatus("receive from init"));
    return false;
  }
  if (size == 0) {
    Lose(absl::UnavailableError("init closed the connection"));
    return false;
  }
  std::vector<UniqueFd> fds = TakeDescriptors(header);
  absl::Status status = header.msg_flags & MSG_TRUNC ? absl::InvalidArgumentError("a packet over the bound")
                                                     : Handle({packet, static_cast<size_t>(size)}, std::move(fds));
  if (!status.ok()) Lose(Annotate(status, "message of init"));
  return !lost_;
}

absl::Status InitClient::Handle(absl::Span<const uint8_t> packet, std::vector<UniqueFd> fds) {
  // Fails for another version too: init cannot be replaced while it runs, so only a reboot helps.
  ASSIGN_OR_RETURN(init_protocol::Header header, init_protocol::DecodeHeader(packet));
  if (!greeted_ && header.type != Type::kHello) return absl::InvalidArgumentError("no Hello before it");
  switch (header.type) {
    case Type::kHello:
      greeted_ = true;
      return absl::OkStatus();
    case Type::kReply: {
      ASSIGN_OR_RETURN(init_protocol::Reply reply, init_protocol::DecodeReply(packet));
      auto found = waiting_.find(header.request);
      if (found == waiting_.end()) return absl::OkStatus();
      Done done = std::move(found->second);
      waiting_.erase(found);
      if (reply.error == ESHUTDOWN) ending_ = true;
      done(reply.error == 0 ? absl::OkStatus() : StatusFromErrno(reply.error, absl::StrCat("init: ", reply.text)));
      return absl::OkStatus();
    }
    case Type::kState: {
      ASSIGN_OR_RETURN(init_protocol::ServiceState state, init_protocol::DecodeState(packet));
      listener_.OnServiceState(state, fds.empty() ? UniqueFd() : std::move(fds.front()));
      return absl::OkStatus();
    }
    case Type::kPhase: {
      ASSIGN_OR_RETURN(init_protocol::Phase phase, init_protocol::DecodePhase(packet));
      listener_.OnPhase(phase);
      return absl::OkStatus();
    }
    case Type::kDefine:
    case Type::kRemove:
    case Type::kStart:
    case Type::kStop:
    case Type::kRestart:
    case Type::kKill:
    case Type::kList:
    case Type::kShutdown:
    case Type::kTrialOver:
      return absl::InvalidArgumentError("a request, which only machined makes");
  }
  return absl::InvalidArgumentError("unknown type");
}

void InitClient::Lose(const absl::Status& why) {
  if (std::exchange(lost_, true)) return;
  loop_.events().Remove(socket_.get(), this);
  std::map<uint32_t, Done> waiting;
  waiting.swap(waiting_);
  for (auto& [id, done] : waiting) done(absl::UnavailableError("init: the connection has ended"));
  listener_.OnLost(why);
}

}  // namespace stele::machined
