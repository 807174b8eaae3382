// LogService: streams a log to a client, as fast as the client reads.
//
// Chunks are read and written on gRPC's threads, one at a time, without passing the owner thread:
// that one only says that there is more. The response is put together by hand from the chunk's
// bytes and the rest as protobuf, so that a log's bytes are copied once, from the file.
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <atomic>
#include <mutex>

#include "machined/api.h"
#include "machined/container_log.h"
#include "machined/grpc_status.h"
#include "machined/kernel_log.h"
#include "machined/log_source.h"
#include "machined/log_store.h"
#include "stele/machine/v1/log_service.grpc.pb.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {
namespace {

using machine::v1::ReadLogRequest;
using machine::v1::ReadLogResponse;

// Containers' files and the kernel's ring tell nobody when they grow.
constexpr absl::Duration kPollPause = absl::Milliseconds(200);

grpc::ByteBuffer Encode(LogChunk chunk) {
  ReadLogResponse rest;
  rest.set_cursor(chunk.cursor);
  rest.set_lost_bytes(chunk.lost_bytes);
  for (const LogChunk::Mark& mark : chunk.marks) {
    auto* out = rest.add_marks();
    out->set_offset(mark.offset);
    int64_t ns = absl::ToUnixNanos(mark.time);
    out->mutable_time()->set_seconds(ns / 1'000'000'000);
    out->mutable_time()->set_nanos(ns % 1'000'000'000);
  }
  // Field 1, length-delimited; fields of a message may come in any order and in pieces.
  char head[11];
  size_t head_size = 0;
  head[head_size++] = (ReadLogResponse::kDataFieldNumber << 3) | 2;
  size_t size = chunk.data.size();
  for (; size >= 0x80; size >>= 7) head[head_size++] = static_cast<char>(size | 0x80);
  head[head_size++] = static_cast<char>(size);
  size_t data_size = chunk.data.size();
  char* data = chunk.data.release();
  grpc::Slice slices[] = {grpc::Slice(head, head_size),
                          grpc::Slice(
                              data, data_size, [](void* bytes) { delete[] static_cast<char*>(bytes); }, data),
                          grpc::Slice(rest.SerializeAsString())};
  return grpc::ByteBuffer(slices, 3);
}

// One call. Deletes itself on the owner thread when it has ended.
class LogStream : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  LogStream(NodeApi& api, ReadLogRequest request) : api_(api), loop_(api.node.loop()), request_(std::move(request)) {}

  // Owner thread.
  void Begin() {
    absl::StatusOr<std::unique_ptr<LogSource>> source = Open();
    if (!source.ok()) return End(source.status());
    source_ = *std::move(source);
    may_block_ = source_->MayBlock();
    if (request_.follow()) Follow();
    More();
  }

  void OnWriteDone(bool ok) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      busy_ = false;
      if (!ok) cancelled_ = true;
    }
    Pump();
  }

  void OnCancel() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      cancelled_ = true;
    }
    Pump();
  }

  void OnDone() override {
    loop_.Post([this] {
      if (subscription_ != 0) api_.logs.Unsubscribe(subscription_);
      if (timer_ != 0) loop_.Cancel(timer_);
      delete this;
    });
  }

 private:
  LogStart From() const {
    LogStart from = {.cursor = request_.cursor(), .tail_lines = request_.tail_lines(), .follow = request_.follow()};
    if (request_.has_since()) {
      from.since = absl::FromUnixSeconds(request_.since().seconds()) + absl::Nanoseconds(request_.since().nanos());
    }
    return from;
  }

  absl::StatusOr<std::unique_ptr<LogSource>> Open() {
    switch (request_.source_case()) {
      case ReadLogRequest::kService:
        // init has no pipe of its own: it writes to the kernel's log.
        if (request_.service() == "init") return OpenKernelLog(api_.boot_id, From(), "init: ");
        return api_.logs.Open(request_.service(), From());
      case ReadLogRequest::kKernel:
        return OpenKernelLog(api_.boot_id, From());
      case ReadLogRequest::kContainer: {
        // Just after machined's start containerd was not asked yet; a follower then tries again.
        if (api_.node.store().List("containers").empty()) {
          return absl::UnavailableError("no containers are known: containerd has not told of any yet");
        }
        ASSIGN_OR_RETURN(ResourcePtr container, FindContainer(api_.node.store(), request_.container().container()));
        container_id_ = container->id;
        return ContainerLog::Open(static_cast<const resource::v1::Container&>(*container->body).log_path(), From());
      }
      case ReadLogRequest::SOURCE_NOT_SET:
        break;
    }
    return absl::InvalidArgumentError("which log? Give a service, kernel or container");
  }

  void Follow() {
    if (request_.has_service() && request_.service() != "init") {
      subscription_ = api_.logs.Subscribe(request_.service(), [this] { More(); });
    } else {
      Poll();
    }
  }

  void Poll() {
    timer_ = loop_.After(kPollPause, [this] {
      // Seen before the read that finds the end, so that its last words are read.
      if (!container_id_.empty() && HasEnded(api_.node.store(), container_id_)) ended_ = true;
      More();
      Poll();
    });
  }

  // There may be more to read.
  void More() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      more_ = true;
    }
    Pump();
  }

  // Takes the next step when none is under way: read and write, or finish.
  void Pump() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (busy_ || finished_) return;
      if (!cancelled_ && !more_) return;
      busy_ = true;
      if (cancelled_) finished_ = true;
      more_ = false;
      ended_before_read_ = ended_;
    }
    if (finished_) return Finish({grpc::StatusCode::CANCELLED, "the reader went away"});
    if (!may_block_) return Step(source_->Next());
    auto chunk = std::make_shared<absl::StatusOr<LogChunk>>();
    loop_.RunBlocking([this, chunk] { *chunk = source_->Next(); }, [this, chunk] { Step(std::move(*chunk)); });
  }

  // With busy_ held: writes what was read.
  void Step(absl::StatusOr<LogChunk> chunk) {
    if (!chunk.ok()) return FinishNow(ToGrpc(chunk.status()));
    if (chunk->data.size() == 0 && chunk->lost_bytes == 0) {
      if (!request_.follow() || ended_before_read_) return FinishNow(grpc::Status::OK);
      {
        std::lock_guard<std::mutex> lock(mutex_);
        busy_ = false;
      }
      return Pump();  // something may have come meanwhile
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      more_ = true;  // until a read says otherwise
    }
    buffer_ = Encode(*std::move(chunk));
    StartWrite(&buffer_);
  }

  void FinishNow(const grpc::Status& status) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      finished_ = true;
    }
    Finish(status);
  }

  // Before anything was written.
  void End(const absl::Status& status) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (std::exchange(finished_, true)) return;
      busy_ = true;
    }
    Finish(ToGrpc(status));
  }

  NodeApi& api_;
  OwnerLoop& loop_;
  const ReadLogRequest request_;
  LogStore::SubscriptionId subscription_ = 0;  // owner thread
  OwnerLoop::TimerId timer_ = 0;               // owner thread
  std::unique_ptr<LogSource> source_;          // whoever holds busy_
  bool may_block_ = false;
  std::string container_id_;         // owner thread
  std::atomic<bool> ended_ = false;  // the container has
  bool ended_before_read_ = false;   // whoever holds busy_
  grpc::ByteBuffer buffer_;
  std::mutex mutex_;
  bool more_ = false;  // a read is worth while
  bool busy_ = false;  // a read or a write is under way
  bool cancelled_ = false;
  bool finished_ = false;
};

class LogService final
    : public machine::v1::LogService::WithRawCallbackMethod_ReadLog<machine::v1::LogService::Service> {
 public:
  explicit LogService(NodeApi& api) : api_(api) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* ReadLog(grpc::CallbackServerContext*,
                                                      const grpc::ByteBuffer* bytes) override {
    ReadLogRequest request;
    grpc::ByteBuffer copy(*bytes);
    grpc::ProtoBufferReader reader(&copy);
    if (!request.ParseFromZeroCopyStream(&reader)) request.Clear();  // refused as one without a source
    auto* stream = new LogStream(api_, std::move(request));
    api_.node.loop().Post([stream] { stream->Begin(); });
    return stream;
  }

 private:
  NodeApi& api_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeLogService(NodeApi& api) { return std::make_unique<LogService>(api); }

}  // namespace stele::machined
