#include "apid/server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include <algorithm>
#include <map>

#include "base/idle_pages.h"

namespace stele {
namespace {

constexpr int kAcceptsPerTurn = 32;  // then those who are in have their turn
constexpr int kBusyTickMs = 100;     // while a deadline of seconds runs
constexpr int kIdleTickMs = 1'000;

using State = Connection::State;

constexpr auto kStrangers = {State::kSilent, State::kHandshake};
constexpr auto kClients = {State::kOpen, State::kDraining};

size_t UsableDescriptors() {
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur > kLimits.reserved_descriptors ? limit.rlim_cur - kLimits.reserved_descriptors : 4;
}

UniqueFd SpareDescriptor() { return UniqueFd(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)); }

}  // namespace

Server::Server(EventLoop& loop, Keys& keys, Audit& audit, std::string machined_socket, UniqueFd listener, UniqueFd stop)
    : keys_(keys),
      shared_{*this, loop, keys, audit, std::move(machined_socket), {}, false},
      listener_(std::move(listener)),
      stop_(std::move(stop)),
      spare_(SpareDescriptor()),
      client_limit_(std::min(kLimits.clients, UsableDescriptors() / 4)),
      connection_limit_(std::min(kLimits.connections, UsableDescriptors() - client_limit_)) {
  keys_.OnChange([this](Keys::News news) { OnKeys(news); });
}

Server::~Server() {
  shared_.loop.Remove(listener_.get(), this);
  shared_.loop.Remove(stop_.get(), &stop_handler_);
}

absl::Status Server::Listen() {
  RETURN_IF_ERROR(shared_.loop.Add(listener_.get(), EPOLLIN, this));
  shared_.audit.WriteNote("serving");
  return absl::OkStatus();
}

// A client CA that is gone may have been given up because somebody has its key: who came by it is shown out, and who
// came by another stays.
void Server::OnKeys(Keys::News news) {
  switch (news) {
    case Keys::News::kFirst:
      if (stopping_at_ms_ == 0) failure_ = Listen();
      return;
    case Keys::News::kMore:
      return shared_.audit.WriteNote("new keys");
    case Keys::News::kCaGone:
      shared_.audit.WriteNote("new keys, and a client CA is gone: the connections of its clients end");
      return EndWhoIsNotTaken();
    case Keys::News::kRevoked:
    case Keys::News::kRoles:
      return EndWhoIsNotTaken();
  }
}

void Server::EndWhoIsNotTaken() {
  for (auto& connection : connections_) connection->EndUnlessTaken();
}

absl::Status Server::Run() {
  if (keys_.current() != nullptr) RETURN_IF_ERROR(Listen());
  RETURN_IF_ERROR(shared_.loop.Add(stop_.get(), EPOLLIN, &stop_handler_));
  while (stopping_at_ms_ == 0 || (!connections_.empty() && NowMs() < stopping_at_ms_)) {
    RETURN_IF_ERROR(shared_.loop.RunOnce(TimeoutMs()));
    RETURN_IF_ERROR(failure_);
    std::vector<Connection*> unfinished;
    unfinished.swap(shared_.unfinished);
    for (Connection* connection : unfinished) connection->Continue();
    if (NowMs() >= next_tick_ms_) {
      next_tick_ms_ = NowMs() + kBusyTickMs;
      for (auto& connection : connections_) connection->Tick();
      shared_.audit.Flush();
      if (keys_.unread()) keys_.Read();
      if (trim_at_ms_ != 0 && connections_.empty() && NowMs() >= trim_at_ms_) {
        trim_at_ms_ = 0;
        GiveIdlePagesBack();
      }
    }
    if (shared_.closed_some) Sweep();
  }
  connections_.clear();
  return absl::OkStatus();
}

int Server::TimeoutMs() const {
  if (!shared_.unfinished.empty()) return 0;
  if (connections_.empty()) return trim_at_ms_ != 0 || shared_.audit.has_pending() || keys_.unread() ? kIdleTickMs : -1;
  bool busy = stopping_at_ms_ != 0 || std::any_of(connections_.begin(), connections_.end(), [](const auto& connection) {
                return connection->has_short_deadline();
              });
  return busy ? kBusyTickMs : kIdleTickMs;
}

// Closed connections are deleted here, between turns: nothing on the stack knows them any more.
void Server::Sweep() {
  shared_.closed_some = false;
  auto is_closed = [](const Connection* connection) { return connection->state() == Connection::State::kClosed; };
  auto& unfinished = shared_.unfinished;
  unfinished.erase(std::remove_if(unfinished.begin(), unfinished.end(), is_closed), unfinished.end());
  connections_.erase(std::remove_if(connections_.begin(), connections_.end(),
                                    [&is_closed](const auto& connection) { return is_closed(connection.get()); }),
                     connections_.end());
  if (connections_.empty()) trim_at_ms_ = NowMs() + kIdleTickMs;
}

void Server::StopHandler::OnReady(uint32_t) {
  Server& server = server_;
  server.shared_.loop.Remove(server.stop_.get(), this);
  server.shared_.loop.Remove(server.listener_.get(), &server);  // init keeps it: others wait in its backlog
  server.stopping_at_ms_ = NowMs() + kLimits.drain_ms;
  for (auto& connection : server.connections_) connection->Drain();
}

void Server::OnReady(uint32_t) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    sockaddr_storage address = {};
    socklen_t size = sizeof address;
    UniqueFd fd(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.ok()) {
      Admit(std::move(fd), PeerOf(address));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return OutOfDescriptors();
    } else if (errno == EAGAIN) {
      return;
    }  // else that one connection failed before we took it; the next may not
  }
}

void Server::Admit(UniqueFd fd, Peer peer) {
  if (Count(kStrangers, peer.source) >= kLimits.strangers_per_source) MakeRoom(kStrangers, peer.source);
  if (Count(kStrangers) + Count(kClients) >= connection_limit_ && !MakeRoom(kStrangers)) {
    return shared_.audit.WriteRefusal(peer.text, "too many connections", NowMs());
  }
  auto connection = std::make_unique<Connection>(shared_, std::move(fd), std::move(peer));
  absl::Status started = connection->Start();
  if (!started.ok()) return connection->Close(absl::string_view(started.message()));
  connections_.push_back(std::move(connection));
}

void Server::AdmitHandshake(const Connection&) {
  size_t limit = std::min(kLimits.handshakes, connection_limit_ / 2);
  if (Count({State::kHandshake}) >= limit) MakeRoom({State::kHandshake});
}

bool Server::AdmitClient(const Connection& connection) {
  return Count(kClients) < client_limit_ && Count(kClients, connection.peer().source) < kLimits.clients_per_source;
}

size_t Server::Count(std::initializer_list<State> states, absl::string_view source) const {
  return static_cast<size_t>(std::count_if(connections_.begin(), connections_.end(), [&](const auto& connection) {
    return std::find(states.begin(), states.end(), connection->state()) != states.end() &&
           (source.empty() || connection->peer().source == source);
  }));
}

bool Server::MakeRoom(std::initializer_list<State> states, absl::string_view source) {
  for (State state : states) {
    std::map<absl::string_view, std::pair<size_t, Connection*>> sources;  // how many it has, and the oldest
    std::pair<size_t, Connection*> most = {0, nullptr};
    for (const auto& connection : connections_) {
      if (connection->state() != state || (!source.empty() && connection->peer().source != source)) continue;
      auto& [count, oldest] = sources[connection->peer().source];
      if (count++ == 0) oldest = connection.get();
      if (count > most.first) most = {count, oldest};
    }
    if (most.second == nullptr) continue;
    most.second->Close("made room for another connection");
    return true;
  }
  return false;
}

// The caps keep this from happening unless something else in the process took descriptors. The
// listener would stay readable and the loop spin, so the waiting connection is taken and dropped.
void Server::OutOfDescriptors() {
  if (MakeRoom(kStrangers)) return;
  spare_.reset();
  UniqueFd dropped(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  dropped.reset();
  spare_ = SpareDescriptor();
}

}  // namespace stele
