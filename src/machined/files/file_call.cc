#include "machined/files/file_call.h"

#include <utility>

#include "machined/grpc_status.h"

namespace stele::machined {
namespace {

grpc::ByteBuffer Encode(const google::protobuf::MessageLite& message) {
  size_t size = message.ByteSizeLong();
  char* bytes = new char[size];
  message.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(bytes));
  grpc::Slice slice(
      bytes, size, [](void* data) { delete[] static_cast<char*>(data); }, bytes);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

FileCall::FileCall(grpc::CallbackServerContext* context, std::shared_ptr<std::atomic<int>> under_way,
                   absl::Duration stall, Work work)
    : context_(context), under_way_(std::move(under_way)), stall_(stall), work_(std::move(work)) {
  if (under_way_->fetch_add(1) >= kMaxFileCalls) {
    Finish({grpc::StatusCode::RESOURCE_EXHAUSTED,
            absl::StrCat("the node reads files for ", kMaxFileCalls, " calls already: try again when one has ended")});
    return;
  }
  if (absl::Status started = thread_.Start([this] { Run(); }); !started.ok()) Finish(ToGrpc(started));
}

absl::Status FileCall::Send(const google::protobuf::MessageLite& message) {
  grpc::ByteBuffer bytes = Encode(message);
  {
    std::unique_lock<std::mutex> lock(mutex_);
    RETURN_IF_ERROR(AwaitWritten(lock));
    message_.Swap(&bytes);
    writing_ = true;
  }
  StartWrite(&message_);
  return absl::OkStatus();
}

absl::Status FileCall::Pause(absl::Duration pause) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoNanoseconds(pause), [this] { return cancelled_.load(); });
  return KeepGoing();
}

void FileCall::OnWriteDone(bool ok) {
  std::lock_guard<std::mutex> lock(mutex_);
  writing_ = false;
  if (!ok) cancelled_ = true;
  changed_.notify_all();
}

void FileCall::OnCancel() {
  std::lock_guard<std::mutex> lock(mutex_);
  cancelled_ = true;
  changed_.notify_all();
}

void FileCall::OnDone() {
  thread_.End();
  under_way_->fetch_sub(1);
  delete this;
}

void FileCall::Run() {
  absl::Status status = work_(*this);
  {
    // gRPC wants no end while a message is under way; one of a cancelled call comes back at once.
    std::unique_lock<std::mutex> lock(mutex_);
    absl::Status written = AwaitWritten(lock);
    if (status.ok()) status = written;
    changed_.wait(lock, [this] { return !writing_; });
  }
  Finish(ToGrpc(status));
}

absl::Status FileCall::AwaitWritten(std::unique_lock<std::mutex>& lock) {
  bool taken = changed_.wait_for(lock, absl::ToChronoNanoseconds(stall_), [this] { return !writing_ || cancelled_; });
  if (taken) return KeepGoing();
  context_->TryCancel();
  return absl::DeadlineExceededError("the client took nothing for too long");
}

}  // namespace stele::machined
