#include "machined/network_debug/capture.h"

#include <net/if.h>
#include <poll.h>

#include <algorithm>

#include "machined/network_debug/packet_filter.h"
#include "machined/network_debug/packet_socket.h"
#include "machined/network_debug/request_bounds.h"
#include "machined/network_debug/socket_address.h"
#include "machined/uptime.h"

namespace stele::machined {
namespace {

using machine::v1::CaptureRequest;
using machine::v1::CaptureResponse;

constexpr uint32_t kMaxSnapLength = 65'535, kMinSnapLength = 14;
constexpr uint64_t kMaxBytes = 4ULL << 30, kDefaultBytes = 256 << 20;
// apid ends a connection 37 to 43 minutes after it was made.
constexpr DurationBounds kDuration = {"duration", absl::Milliseconds(1), absl::Minutes(30), absl::Minutes(10)};
constexpr size_t kChunk = 256 << 10;
// A packet is on its way to the client after at most this.
constexpr absl::Duration kFlush = absl::Milliseconds(200);

struct Plan {
  std::string interface = "any";
  uint32_t snap_length = kMaxSnapLength;
  uint64_t max_packets = UINT64_MAX, max_bytes = kDefaultBytes;
  absl::Duration duration;
  std::vector<sock_filter> program;
};

// The client's own connection to the API.
FilterPtr Connection(const SocketAddress& peer) {
  std::string bytes = peer.bytes();
  IpPrefix prefix = {.family = peer.family(), .bytes = bytes, .length = static_cast<uint8_t>(bytes.size() * 8)};
  return And(Network(Direction::kEither, prefix),
             And(Ports({Transport::kTcp}, Direction::kEither, peer.port(), peer.port()),
                 Ports({Transport::kTcp}, Direction::kEither, kApiPort, kApiPort)));
}

absl::StatusOr<FilterPtr> WholeFilter(const CaptureRequest& request, const std::string& peer) {
  ASSIGN_OR_RETURN(FilterPtr filter, ParseFilter(request.filter()));
  // Loopback's packets pass twice: as they leave and as they arrive.
  if (uint32_t loopback = ::if_nametoindex("lo"); loopback != 0) filter = And(Not(SentBy(loopback)), std::move(filter));
  if (!request.include_api()) {
    return And(Not(Ports({Transport::kTcp}, Direction::kEither, kApiPort, kApiPort)), std::move(filter));
  }
  absl::StatusOr<HostPort> where = ParseHostPort(peer, 0);
  if (!where.ok()) return filter;  // over the node's own socket
  absl::StatusOr<SocketAddress> address = ParseAddress(where->host, where->port);
  if (address.ok()) filter = And(Not(Connection(*address)), std::move(filter));
  return filter;
}

absl::StatusOr<Plan> MakePlan(const CaptureRequest& request, const std::string& peer) {
  Plan plan;
  if (!request.interface().empty()) plan.interface = request.interface();
  if (request.snap_length() != 0) plan.snap_length = request.snap_length();
  RETURN_IF_ERROR(CheckNumber(plan.snap_length, {"snap_length", kMinSnapLength, kMaxSnapLength}));
  if (request.max_packets() != 0) plan.max_packets = request.max_packets();
  if (request.max_bytes() != 0) plan.max_bytes = request.max_bytes();
  RETURN_IF_ERROR(CheckNumber(plan.max_bytes, {"max_bytes", kPcapHeaderSize, kMaxBytes}));
  ASSIGN_OR_RETURN(plan.duration, Bounded(request.has_duration(), request.duration(), kDuration));
  ASSIGN_OR_RETURN(FilterPtr filter, WholeFilter(request, peer));
  ASSIGN_OR_RETURN(plan.program, CompileFilter(*filter, plan.snap_length));
  return plan;
}

class Recorder {
 public:
  Recorder(const Plan& plan, PacketSocket socket, const Stop& stop,
           const std::function<bool(const CaptureResponse&)>& tell)
      : plan_(plan), socket_(std::move(socket)), stop_(stop), tell_(tell) {}

  absl::Status Run() {
    chunk()->reserve(kChunk);
    *chunk() = PcapHeader(socket_.link(), plan_.snap_length);
    bytes_ = chunk()->size();
    if (!Flush("")) return Gone();
    absl::Duration end = Uptime() + plan_.duration;
    while (true) {
      absl::Status ready = stop_.Wait(socket_.fd(), POLLIN, std::min(end, flush_at_));
      if (!ready.ok() && !absl::IsDeadlineExceeded(ready)) return ready;
      absl::StatusOr<const char*> limit = Read(end);
      if (!limit.ok()) return limit.status();
      bool over = **limit != '\0';
      if ((over || Full() || Uptime() >= flush_at_) && !Flush(*limit)) return Gone();
      if (over) return absl::OkStatus();
    }
  }

 private:
  static absl::Status Gone() { return absl::CancelledError("the client went away"); }
  std::string* chunk() { return response_.mutable_chunk(); }
  bool Full() { return chunk()->size() + PacketSocket::kOverhead + plan_.snap_length > kChunk; }

  // What is there, as far as the chunk has room; which limit was reached.
  absl::StatusOr<const char*> Read(absl::Duration end) {
    while (!Full()) {
      if (packets_ >= plan_.max_packets) return "max_packets";
      if (Uptime() >= end) return "duration";
      size_t before = chunk()->size();
      absl::StatusOr<bool> appended = socket_.Append(plan_.snap_length, chunk());
      if (absl::IsNotFound(appended.status())) return "interface gone";
      if (!appended.ok()) return appended.status();
      if (!*appended) return "";
      size_t size = chunk()->size() - before;
      if (bytes_ + size > plan_.max_bytes) {
        chunk()->resize(before);
        return "max_bytes";
      }
      bytes_ += size;
      ++packets_;
      if (flush_at_ == absl::InfiniteDuration()) flush_at_ = Uptime() + kFlush;
    }
    return "";
  }

  bool Flush(absl::string_view end) {
    flush_at_ = absl::InfiniteDuration();
    dropped_ += socket_.TakeDropped();
    auto* summary = response_.mutable_summary();
    summary->set_packets(packets_);
    summary->set_bytes(bytes_);
    summary->set_dropped(dropped_);
    summary->set_end(std::string(end));
    bool told = tell_(response_);
    chunk()->clear();
    return told;
  }

  const Plan& plan_;
  PacketSocket socket_;
  const Stop& stop_;
  const std::function<bool(const CaptureResponse&)>& tell_;
  CaptureResponse response_;
  uint64_t packets_ = 0, bytes_ = 0, dropped_ = 0;
  absl::Duration flush_at_ = absl::InfiniteDuration();  // when the chunk's first packet has waited long enough
};

}  // namespace

absl::Status Capture(const CaptureRequest& request, const std::string& peer, const Stop& stop,
                     const std::function<bool(const CaptureResponse&)>& tell) {
  ASSIGN_OR_RETURN(Plan plan, MakePlan(request, peer));
  ASSIGN_OR_RETURN(PacketSocket socket, PacketSocket::Open(plan.interface, plan.program));
  return Recorder(plan, std::move(socket), stop, tell).Run();
}

}  // namespace stele::machined
