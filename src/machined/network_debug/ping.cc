#include "machined/network_debug/ping.h"

#include <poll.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <map>

#include "machined/network_debug/icmp_packet.h"
#include "machined/network_debug/icmp_socket.h"
#include "machined/network_debug/random_number.h"
#include "machined/network_debug/request_bounds.h"
#include "machined/proto_time.h"
#include "machined/uptime.h"

namespace stele::machined {
namespace {

using machine::v1::PingEvent;
using machine::v1::PingOutcome;
using machine::v1::PingRequest;
using machine::v1::PingResponse;
using machine::v1::PingSummary;

// apid ends a connection 37 to 43 minutes after it was made.
constexpr absl::Duration kLongest = absl::Minutes(30);
constexpr uint32_t kMaxSize = 16'000;
constexpr uint32_t kDefaultSize = 56;
// An answer to a request that was sent before is too late even to be a duplicate.
constexpr absl::Duration kForget = absl::Seconds(30);
constexpr int kPacketsPerTurn = 64;

constexpr DurationBounds kInterval = {"interval", absl::Milliseconds(100), absl::Minutes(1), absl::Seconds(1)};
constexpr DurationBounds kTimeout = {"timeout", absl::Milliseconds(10), absl::Seconds(10), absl::Seconds(2)};

struct Plan {
  uint32_t count = 0;
  absl::Duration interval, timeout;
  uint32_t size = kDefaultSize;
};

absl::StatusOr<Plan> MakePlan(const PingRequest& request) {
  Plan plan = {.count = request.count()};
  ASSIGN_OR_RETURN(plan.interval, Bounded(request.has_interval(), request.interval(), kInterval));
  ASSIGN_OR_RETURN(plan.timeout, Bounded(request.has_timeout(), request.timeout(), kTimeout));
  if (request.has_size()) plan.size = request.size();
  RETURN_IF_ERROR(CheckNumber(plan.size, {"size", 0, kMaxSize}));
  return plan;
}

// Round trips, as ping(8) sums them up.
class Statistics {
 public:
  void Add(absl::Duration round_trip) {
    double ns = absl::ToDoubleNanoseconds(round_trip);
    sum_ += ns;
    squares_ += ns * ns;
    min_ = count_ == 0 ? round_trip : std::min(min_, round_trip);
    max_ = std::max(max_, round_trip);
    ++count_;
  }
  void Fill(PingSummary* summary) const {
    if (count_ == 0) return;
    double mean = sum_ / count_;
    SetDuration(min_, summary->mutable_min());
    SetDuration(absl::Nanoseconds(mean), summary->mutable_avg());
    SetDuration(max_, summary->mutable_max());
    SetDuration(absl::Nanoseconds(std::sqrt(std::max(0.0, squares_ / count_ - mean * mean))), summary->mutable_mdev());
  }

 private:
  int count_ = 0;
  double sum_ = 0, squares_ = 0;
  absl::Duration min_ = absl::ZeroDuration(), max_ = absl::ZeroDuration();
};

class Pinger {
 public:
  Pinger(const Plan& plan, IcmpSocket socket, SocketAddress to, const Stop& stop,
         const std::function<bool(const PingResponse&)>& tell)
      : plan_(plan), socket_(std::move(socket)), to_(to), stop_(stop), tell_(tell) {
    uint64_t token = RandomNumber();
    std::memcpy(token_, &token, sizeof token_);
    response_.set_address(to_.Text());
  }

  absl::Status Run() {
    if (!Tell()) return Gone();
    absl::Duration end = Uptime() + kLongest;
    next_send_ = Uptime();
    while (true) {
      absl::Duration now = Uptime();
      if (now >= end) return absl::OkStatus();
      if (SendsMore() && now >= next_send_ && !SendNext(now)) return Gone();
      if (!TellTimeouts(now)) return Gone();
      if (!SendsMore() && Waiting() == 0) return absl::OkStatus();
      absl::Status ready = stop_.Wait(socket_.fd(), POLLIN, std::min(end, NextMoment()));
      if (absl::IsDeadlineExceeded(ready)) continue;
      RETURN_IF_ERROR(ready);
      if (!ReadAnswers()) return Gone();
    }
  }

 private:
  struct Sent {
    uint32_t sequence;
    absl::Duration at;
    bool answered = false;
    bool settled = false;  // told of: answered, timed out or failed
  };

  static absl::Status Gone() { return absl::CancelledError("the client went away"); }
  bool SendsMore() const { return plan_.count == 0 || summary().transmitted() < plan_.count; }
  uint32_t Waiting() const { return waiting_; }
  const PingSummary& summary() const { return response_.summary(); }

  absl::Duration NextMoment() const {
    absl::Duration next = SendsMore() ? next_send_ : absl::InfiniteDuration();
    for (const auto& [key, sent] : sent_) {
      if (!sent.settled) next = std::min(next, sent.at + plan_.timeout);
    }
    return next;
  }

  bool SendNext(absl::Duration now) {
    uint32_t sequence = summary().transmitted() + 1;
    next_send_ = std::max(next_send_ + plan_.interval, now);
    while (!sent_.empty() && Oldest()->second.at + kForget < now) {
      if (!Oldest()->second.settled) --waiting_;
      sent_.erase(Oldest());
    }
    uint16_t key = static_cast<uint16_t>(sequence);
    std::string packet = EchoRequest(socket_.family(), id_, key, plan_.size, {token_, sizeof token_});
    absl::Status status = socket_.Send(packet, to_);
    response_.mutable_summary()->set_transmitted(sequence);
    sent_[key] = {sequence, Uptime(), false, !status.ok()};
    order_.push_back(key);
    if (status.ok()) {
      ++waiting_;
      return true;
    }
    response_.mutable_summary()->set_errors(summary().errors() + 1);
    PingEvent* event = Event(sequence, machine::v1::PING_OUTCOME_ERROR);
    event->set_message(std::string(status.message()));
    return Tell();
  }

  std::map<uint16_t, Sent>::iterator Oldest() {
    while (!order_.empty() && sent_.count(order_.front()) == 0) order_.pop_front();
    return sent_.find(order_.front());
  }

  bool TellTimeouts(absl::Duration now) {
    for (auto& [key, sent] : sent_) {
      if (sent.settled || sent.at + plan_.timeout > now) continue;
      Settle(sent);
      Event(sent.sequence, machine::v1::PING_OUTCOME_TIMEOUT);
      if (!Tell()) return false;
    }
    return true;
  }

  bool ReadAnswers() {
    IcmpSocket::Packet packet;
    for (int i = 0; i < kPacketsPerTurn && socket_.Receive(&packet); ++i) {
      if (!OnPacket(packet, Uptime())) return false;
    }
    return true;
  }

  bool OnPacket(const IcmpSocket::Packet& packet, absl::Duration now) {
    absl::optional<IcmpAnswer> answer = ParseIcmp(socket_.family(), packet.bytes);
    // A raw socket hears everybody's: ours are known by their number and, where there is room, their token.
    if (!answer.has_value() || answer->id != id_ || answer->protocol == IPPROTO_UDP) return true;
    auto found = sent_.find(answer->sequence);
    if (found == sent_.end()) return true;
    Sent& sent = found->second;
    if (answer->kind == IcmpAnswer::Kind::kEchoReply) {
      size_t known = std::min<size_t>(plan_.size, sizeof token_);
      if (answer->payload.substr(0, known) != absl::string_view(token_, known)) return true;
      return OnReply(packet, *answer, now, sent);
    }
    if (answer->destination != to_.bytes()) return true;
    if (!sent.settled) Settle(sent);
    response_.mutable_summary()->set_errors(summary().errors() + 1);
    PingEvent* event = Event(sent.sequence, machine::v1::PING_OUTCOME_ERROR);
    event->set_from(packet.from.Text());
    SetDuration(now - sent.at, event->mutable_round_trip());
    event->set_message(IcmpErrorText(socket_.family(), *answer));
    return Tell();
  }

  bool OnReply(const IcmpSocket::Packet& packet, const IcmpAnswer& answer, absl::Duration now, Sent& sent) {
    PingOutcome outcome = sent.answered ? machine::v1::PING_OUTCOME_DUPLICATE : machine::v1::PING_OUTCOME_REPLY;
    if (!sent.settled) Settle(sent);
    if (std::exchange(sent.answered, true)) {
      response_.mutable_summary()->set_duplicates(summary().duplicates() + 1);
    } else {
      response_.mutable_summary()->set_received(summary().received() + 1);
      statistics_.Add(now - sent.at);
    }
    PingEvent* event = Event(sent.sequence, outcome);
    event->set_from(packet.from.Text());
    event->set_ttl(socket_.family() == AF_INET ? answer.ttl : packet.ttl);
    event->set_size(static_cast<uint32_t>(answer.payload.size()));
    SetDuration(now - sent.at, event->mutable_round_trip());
    return Tell();
  }

  void Settle(Sent& sent) {
    sent.settled = true;
    --waiting_;
  }

  PingEvent* Event(uint32_t sequence, PingOutcome outcome) {
    PingEvent* event = response_.mutable_event();
    event->Clear();
    event->set_sequence(sequence);
    event->set_outcome(outcome);
    return event;
  }

  bool Tell() {
    PingSummary* sum = response_.mutable_summary();
    uint32_t lost = sum->transmitted() - sum->received() - waiting_;
    sum->set_loss_percent(sum->transmitted() == 0 ? 0 : 100.0 * lost / sum->transmitted());
    statistics_.Fill(sum);
    return tell_(response_);
  }

  const Plan plan_;
  IcmpSocket socket_;
  const SocketAddress to_;
  const Stop& stop_;
  const std::function<bool(const PingResponse&)>& tell_;
  const uint16_t id_ = static_cast<uint16_t>(RandomNumber());
  char token_[sizeof(uint64_t)] = {};
  absl::Duration next_send_;
  std::map<uint16_t, Sent> sent_;  // by the number in the packet; those of the last half minute
  std::deque<uint16_t> order_;     // its keys, oldest first
  uint32_t waiting_ = 0;           // of those, not settled yet
  Statistics statistics_;
  PingResponse response_;
};

}  // namespace

absl::Status Ping(const PingRequest& request, const ResolverFiles& files, const Stop& stop,
                  const std::function<bool(const PingResponse&)>& tell) {
  ASSIGN_OR_RETURN(Plan plan, MakePlan(request));
  ASSIGN_OR_RETURN(Source source, Source::Parse(request.source()));
  ASSIGN_OR_RETURN(SocketAddress to, FindHost(request.host(), 0, request.family(), source, files, stop));
  ASSIGN_OR_RETURN(IcmpSocket socket, IcmpSocket::Open(to.family(), source));
  RETURN_IF_ERROR(socket.SetDontFragment(request.dont_fragment()));
  return Pinger(plan, std::move(socket), to, stop, tell).Run();
}

}  // namespace stele::machined
