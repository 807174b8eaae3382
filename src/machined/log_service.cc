// LogService: streams a log to a client, as fast as the client reads.
//
// Chunks are read and written on gRPC's threads, one at a time, without passing the owner thread:
// that one only says that there is more. The response is put together by hand from the chunk's
// bytes and the rest as protobuf, so that a log's bytes are copied once, from the file.
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "absl/strings/numbers.h"
#include "machined/api.h"
#include "machined/boots/boot_logs.h"
#include "machined/boots/boots_controller.h"
#include "machined/container_log.h"
#include "machined/grpc_status.h"
#include "machined/kept_logs.h"
#include "machined/kernel_log.h"
#include "machined/line_filter.h"
#include "machined/log_source.h"
#include "machined/log_store.h"
#include "machined/merged_log.h"
#include "machined/security/audit_store.h"
#include "machined/worker_pool.h"
#include "stele/machine/v1/log_service.grpc.pb.h"
#include "stele/resource/v1/upgrade.pb.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {
namespace {

using machine::v1::LogName;
using machine::v1::ReadLogRequest;
using machine::v1::ReadLogResponse;

// Containers' files, the kernel's ring and the audit's files tell nobody when they grow.
constexpr absl::Duration kPollPause = absl::Milliseconds(200);
// Threads that read what may block. Not the node's own workers: a pattern that takes its time, or a disk that does not
// answer, holds up readers of logs and nobody else.
constexpr size_t kReaders = 2;

grpc::ByteBuffer Encode(LogChunk chunk) {
  ReadLogResponse rest;
  rest.set_cursor(chunk.cursor);
  rest.set_lost_bytes(chunk.lost_bytes);
  for (const LogChunk::Mark& mark : chunk.marks) {
    auto* out = rest.add_marks();
    out->set_offset(mark.offset);
    out->set_source(mark.source);
    if (mark.time == absl::InfinitePast()) continue;  // of a log without times
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
  LogStream(NodeApi& api, WorkerPool& readers, ReadLogRequest request)
      : api_(api), loop_(api.node.loop()), readers_(readers), request_(std::move(request)) {}

  // Owner thread.
  void Begin() {
    NameLogs();
    absl::Status wrong = Check();
    if (wrong.ok()) wrong = LookUp();
    if (!wrong.ok()) return End(wrong);
    if (!OnDisk()) return OnOpened(Open());
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (finished_) return;  // the reader went away before
      busy_ = true;           // nobody else takes a step, the last one neither, before it is open
    }
    auto source = std::make_shared<absl::StatusOr<std::unique_ptr<LogSource>>>();
    readers_.Add([this, source] {
      *source = Open();
      loop_.Post([this, source] { OnOpened(std::move(*source)); });
    });
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
      for (LogStore::SubscriptionId subscription : subscriptions_) api_.logs.Unsubscribe(subscription);
      if (timer_ != 0) loop_.Cancel(timer_);
      delete this;
    });
  }

 private:
  static absl::Time TimeOf(const google::protobuf::Timestamp& time) {
    return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
  }

  // Whether opening them touches a disk: a container's log, or what is kept of the boot before. Services' logs are in
  // memory.
  bool OnDisk() const {
    return request_.previous_boot() ||
           std::any_of(names_.begin(), names_.end(), [](const LogName& log) { return log.has_container(); });
  }

  // Owner thread.
  void OnOpened(absl::StatusOr<std::unique_ptr<LogSource>> source) {
    if (!source.ok()) return End(source.status());
    source_ = *std::move(source);
    may_block_ = source_->MayBlock();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      busy_ = false;
    }
    if (request_.follow()) Follow();
    More();
  }

  // Where to begin in a log: after its own cursor, if there is one. A tail of what is filtered is the filter's.
  LogStart From(const std::string& cursor) const {
    LogStart from = {
        .cursor = cursor, .tail_lines = Filters() ? 0 : request_.tail_lines(), .follow = request_.follow()};
    if (request_.has_since()) from.since = TimeOf(request_.since());
    return from;
  }

  bool Filters() const { return !request_.pattern().empty() || request_.has_until(); }

  absl::Status Check() const {
    for (const LogName& log : names_) {
      if (log.source_case() == LogName::SOURCE_NOT_SET)
        return absl::InvalidArgumentError("which log? Give a service, kernel, container or audit");
    }
    if (names_.size() > kMaxMergedLogs)
      return absl::InvalidArgumentError(absl::StrCat("at most ", kMaxMergedLogs, " logs at a time"));
    if (request_.follow() && request_.has_until()) return absl::InvalidArgumentError("either follow, or until a time");
    if (request_.follow() && request_.previous_boot())
      return absl::InvalidArgumentError("the boot before says no more: it cannot be followed");
    if (request_.invert() && request_.pattern().empty())
      return absl::InvalidArgumentError("invert is for a pattern, and there is none");
    return CheckPattern(request_.pattern());
  }

  void NameLogs() {
    LogName first;
    if (request_.has_service()) first.set_service(request_.service());
    if (request_.has_kernel()) first.mutable_kernel();
    if (request_.has_container()) *first.mutable_container() = request_.container();
    if (request_.has_audit()) first.mutable_audit();
    names_.push_back(first);
    names_.insert(names_.end(), request_.more().begin(), request_.more().end());
  }

  // What only the owner thread knows: which containers there are, and which boot came before.
  absl::Status LookUp() {
    if (request_.previous_boot()) {
      const resource::v1::Boot* before = BootBefore();
      if (before != nullptr) boot_before_ = *before;
    }
    none_known_ = api_.node.store().List("containers").empty();
    for (const LogName& log : names_) {
      if (!log.has_container()) continue;
      absl::StatusOr<ResourcePtr> container = FindContainer(api_.node.store(), log.container().container());
      if (container.ok()) {
        container_id_ = (*container)->id;
        container_paths_[log.container().container()] =
            static_cast<const resource::v1::Container&>(*(*container)->body).log_path();
      } else if (!absl::IsNotFound(container.status())) {
        return container.status();
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<LogSource>> Open() {
    if (names_.size() == 1) return OpenOne(names_[0], request_.cursor());
    return MergeLogs(names_.size(), request_.cursor(),
                     [this](size_t part, const std::string& cursor) { return OpenOne(names_[part], cursor); });
  }

  absl::StatusOr<std::unique_ptr<LogSource>> OpenOne(const LogName& log, const std::string& cursor) {
    ASSIGN_OR_RETURN(std::unique_ptr<LogSource> source,
                     request_.previous_boot() ? OpenBefore(log, cursor) : OpenWhole(log, cursor));
    if (!Filters()) return source;
    LineWish wish = {.pattern = request_.pattern(), .invert = request_.invert()};
    if (request_.has_until()) wish.until = TimeOf(request_.until());
    if (cursor.empty()) wish.tail_lines = request_.tail_lines();
    return FilterLines(std::move(source), wish);
  }

  absl::StatusOr<std::unique_ptr<LogSource>> OpenWhole(const LogName& log, const std::string& cursor) {
    // init has no pipe of its own: it writes to the kernel's log.
    if (log.service() == "init") return OpenKernelLog(api_.boot_id, From(cursor), "init: ");
    if (log.has_service()) return api_.logs.Open(log.service(), From(cursor));
    if (log.has_kernel()) return OpenKernelLog(api_.boot_id, From(cursor));
    if (log.has_audit()) return api_.audit.Read(From(cursor));
    ASSIGN_OR_RETURN(std::string path, ContainerPath(log.container().container()));
    return ContainerLog::Open(path, From(cursor));
  }

  // Of a container that there is, else of one that was.
  absl::StatusOr<std::string> ContainerPath(const std::string& wanted) {
    auto found = container_paths_.find(wanted);
    if (found != container_paths_.end()) return found->second;
    absl::StatusOr<KeptLogFile> kept = FindKeptLog({}, wanted);
    // Just after machined's start containerd was not asked yet; a follower then tries again.
    bool unknown = none_known_ && (!kept.ok() || !kept->gone);
    if (unknown && !absl::IsInvalidArgument(kept.status())) {
      return absl::UnavailableError("no containers are known: containerd has not told of any yet");
    }
    if (!kept.ok()) return kept.status();
    ended_ = true;  // nobody writes to it any more
    return kept->path;
  }

  // What is kept of the boot before.
  absl::StatusOr<std::unique_ptr<LogSource>> OpenBefore(const LogName& log, const std::string& cursor) {
    if (log.has_container()) {
      return absl::InvalidArgumentError("a container's log outlives boots: ask for it without `previous_boot`");
    }
    if (log.has_audit()) {
      return absl::InvalidArgumentError("the audit outlives boots: ask for it without `previous_boot`");
    }
    if (!boot_before_.has_value()) return absl::NotFoundError("no boot before this one is known");
    std::string name = log.has_kernel() ? "kernel" : log.service();
    absl::StatusOr<std::unique_ptr<LogSource>> source =
        OpenBootLog(api_.boots.boot_logs(), boot_before_->boot_id(), name, From(cursor));
    if (source.ok() || !absl::IsNotFound(source.status())) return source;
    if (log.has_kernel() && !boot_before_->kernel_log().empty())
      return LogOfText(boot_before_->kernel_log(), From(cursor));
    return absl::NotFoundError(absl::StrCat(source.status().message(), ", which ended by ",
                                            EndText(boot_before_->end()),
                                            ": logs are kept when the machine is told to end"));
  }

  const resource::v1::Boot* BootBefore() const {
    std::map<uint64_t, const resource::v1::Boot*> boots;
    for (const ResourcePtr& boot : api_.node.store().List("boots")) {
      uint64_t number;
      if (!absl::SimpleAtoi(boot->id, &number)) continue;
      boots[number] = static_cast<const resource::v1::Boot*>(boot->body.get());  // the store's, on the owner thread
    }
    return boots.size() < 2 ? nullptr : std::next(boots.rbegin())->second;
  }

  void Follow() {
    std::set<std::string> services;
    bool poll = false;
    for (const LogName& log : names_) {
      bool has_pipe = log.has_service() && log.service() != "init";
      if (has_pipe) services.insert(log.service());
      poll = poll || !has_pipe;
    }
    for (const std::string& service : services) {
      subscriptions_.push_back(api_.logs.Subscribe(service, [this] { More(); }));
    }
    if (poll) Poll();
  }

  void Poll() {
    timer_ = loop_.After(kPollPause, [this] {
      // Seen before the read that finds the end, so that its last words are read.
      // Of several logs one that ends ends nothing.
      if (names_.size() == 1 && !container_id_.empty() && HasEnded(api_.node.store(), container_id_)) ended_ = true;
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
    readers_.Add([this, chunk] {
      *chunk = source_->Next();
      loop_.Post([this, chunk] { Step(std::move(*chunk)); });
    });
  }

  // With busy_ held: writes what was read.
  void Step(absl::StatusOr<LogChunk> chunk) {
    if (!chunk.ok()) return FinishNow(ToGrpc(chunk.status()));
    if (chunk->data.size() == 0 && chunk->lost_bytes == 0) {
      if (chunk->more) {  // only of a source that may block: this comes by way of the owner thread, and is no recursion
        {
          std::lock_guard<std::mutex> lock(mutex_);
          busy_ = false;
          more_ = true;
        }
        return Pump();
      }
      if (!request_.follow() || (ended_before_read_ && names_.size() == 1)) return FinishNow(grpc::Status::OK);
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
  WorkerPool& readers_;
  const ReadLogRequest request_;
  // Written on the owner thread before the log is opened, read by whoever opens it.
  std::vector<LogName> names_;
  std::map<std::string, std::string> container_paths_;  // of those that there are, by what they were asked for as
  bool none_known_ = false;                             // of containers
  std::optional<resource::v1::Boot> boot_before_;
  // The owner thread's.
  std::vector<LogStore::SubscriptionId> subscriptions_;
  OwnerLoop::TimerId timer_ = 0;
  std::unique_ptr<LogSource> source_;  // whoever holds busy_
  bool may_block_ = false;
  std::string container_id_;         // the owner thread's
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
    auto* stream = new LogStream(api_, readers_, std::move(request));
    api_.node.loop().Post([stream] { stream->Begin(); });
    return stream;
  }

 private:
  NodeApi& api_;
  WorkerPool readers_{kReaders};
};

}  // namespace

std::unique_ptr<grpc::Service> MakeLogService(NodeApi& api) { return std::make_unique<LogService>(api); }

}  // namespace stele::machined
