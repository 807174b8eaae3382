#include "machined/upgrade/stage_call.h"

#include <future>

#include "absl/time/clock.h"
#include "machined/caller.h"
#include "machined/grpc_status.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kReportPause = absl::Milliseconds(200);
constexpr size_t kMaxChunk = 256 * 1024;
// Enough that the client, apid and the network go on while a chunk is hashed, written and read back.
constexpr size_t kAhead = 2 << 20;

// What a request that waits takes, also one that says next to nothing.
size_t Cost(const machine::v1::StageImageRequest& request) { return sizeof(request) + request.ByteSizeLong(); }

}  // namespace

StageCall::StageCall(OwnerLoop& loop, UpgradeController& upgrades, grpc::CallbackServerContext* context,
                     StagePatience patience)
    : loop_(loop), upgrades_(upgrades), context_(context), caller_(CallerOf(*context)), patience_(patience) {
  if (absl::Status started = thread_.Start([this] { Run(); }); !started.ok()) Finish(ToGrpc(started));
}

void StageCall::OnReadDone(bool ok) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    reading_ = false;
    ended_ = !ok;
    if (ok) {
      ahead_bytes_ += Cost(request_);
      ahead_.push_back(std::move(request_));
    }
    changed_.notify_all();
  }
  if (ok) ReadAhead();
}

void StageCall::ReadAhead() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (reading_ || ended_ || cancelled_ || finishing_ || ahead_bytes_ >= kAhead) return;
    reading_ = true;
    request_.Clear();
  }
  StartRead(&request_);
}

void StageCall::OnWriteDone(bool ok) {
  std::lock_guard<std::mutex> lock(mutex_);
  writing_ = false;
  if (!ok) cancelled_ = true;
  changed_.notify_all();
}

void StageCall::OnCancel() {
  std::lock_guard<std::mutex> lock(mutex_);
  cancelled_ = true;
  changed_.notify_all();
}

void StageCall::OnDone() {
  thread_.End();
  delete this;
}

void StageCall::Run() {
  absl::Status status = Stage();
  if (began_) {
    // Before the answer: who is told that the image is staged may activate it at once.
    std::promise<void> ended;
    loop_.Post([this, &status, &ended] {
      upgrades_.EndStaging(version_, caller_, validate_only_, status, [&ended] { ended.set_value(); });
    });
    ended.get_future().wait();
  }
  {
    std::unique_lock<std::mutex> lock(mutex_);
    finishing_ = true;
    changed_.wait(lock, [this] { return !writing_; });
  }
  Finish(ToGrpc(status));
}

absl::Status StageCall::Stage() {
  ASSIGN_OR_RETURN(bool first, Read());
  if (!first || !taken_.has_begin())
    return absl::InvalidArgumentError("the first request is `begin`, with the image's header");
  StageRequest request = {std::move(*taken_.mutable_begin()->mutable_header()), taken_.begin().force(),
                          taken_.begin().validate_only(), caller_};
  validate_only_ = request.validate_only;
  using Ground = absl::StatusOr<UpgradeController::StagingGround>;
  ASSIGN_OR_RETURN(UpgradeController::StagingGround ground,
                   OnOwner<Ground>(loop_, [this] { return upgrades_.BeginStaging(); }));
  began_ = true;
  ASSIGN_OR_RETURN(image_file::TrustedKeys keys, image_file::TrustedKeys::Load(ground.keys));
  UpgradeStore store(ground.state_folder);
  Staging* running = nullptr;
  Staging staging(ground.place, store, keys, std::move(request),
                  {[this] { return NextChunk(); },
                   [&](const Staging::Progress& progress) { Report(*running, progress, ground.place.other_slot); },
                   [this] { return KeepGoing(); }, [](const char*) {}});
  running = &staging;
  absl::Status status = staging.Run();
  version_ = staging.version();
  // A client that went away in the middle may look like one that had sent everything.
  if (status.ok()) status = KeepGoing();
  return status;
}

absl::StatusOr<bool> StageCall::Read() {
  absl::Time began = absl::Now();
  ReadAhead();
  {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!changed_.wait_for(lock, absl::ToChronoNanoseconds(patience_.idle),
                           [this] { return !ahead_.empty() || ended_ || cancelled_; })) {
      return absl::DeadlineExceededError(
          absl::StrCat("no byte of the image arrived for ", absl::FormatDuration(patience_.idle)));
    }
    if (cancelled_) return absl::CancelledError("the client went away");
    if (ahead_.empty()) return false;
    taken_ = std::move(ahead_.front());
    ahead_.pop_front();
    ahead_bytes_ -= Cost(taken_);
  }
  ReadAhead();
  RETURN_IF_ERROR(floor_.Add(absl::Now() - began, taken_.ByteSizeLong()));
  return true;
}

absl::StatusOr<std::string> StageCall::NextChunk() {
  ASSIGN_OR_RETURN(bool more, Read());
  if (!more) return std::string();
  if (taken_.has_begin()) return absl::InvalidArgumentError("`begin` may only come first");
  if (taken_.chunk().empty()) return absl::InvalidArgumentError("a request without bytes of the image");
  if (taken_.chunk().size() > kMaxChunk) return absl::InvalidArgumentError("a chunk may have at most 256 KiB");
  return std::move(*taken_.mutable_chunk());
}

void StageCall::Report(const Staging& staging, const Staging::Progress& progress, const std::string& slot) {
  absl::Time now = absl::Now();
  if (reported_step_ == progress.step && now - reported_ < kReportPause) return;
  reported_ = now;
  reported_step_ = progress.step;
  machine::v1::StageImageResponse response;
  response.set_step(progress.step);
  response.set_offset(progress.offset);
  response.set_total(staging.total());
  response.set_version(staging.version());
  response.set_slot(slot);
  loop_.Post([upgrades = &upgrades_, version = staging.version(), done = progress.offset, total = staging.total()] {
    upgrades->StagingIsAt(version, done, total);
  });
  Write(std::move(response));
}

void StageCall::Write(machine::v1::StageImageResponse response) {
  std::unique_lock<std::mutex> lock(mutex_);
  // One at a time. A client that does not read has stopped the call by its deadline or ours.
  if (!changed_.wait_for(lock, absl::ToChronoNanoseconds(patience_.idle), [this] { return !writing_ || cancelled_; }))
    cancelled_ = true;
  if (cancelled_) return;
  response_ = std::move(response);
  writing_ = true;
  StartWrite(&response_);
}

absl::Status StageCall::KeepGoing() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (cancelled_ || context_->IsCancelled()) return absl::CancelledError("the client went away");
  return absl::OkStatus();
}

}  // namespace stele::machined
