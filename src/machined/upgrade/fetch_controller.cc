#include "machined/upgrade/fetch_controller.h"

#include <mutex>
#include <thread>

#include "absl/time/clock.h"
#include "base/file.h"
#include "machined/log.h"
#include "machined/time_controller.h"
#include "machined/upgrade/fetch_staging.h"
#include "machined/upgrade/http_stream.h"

namespace stele::machined {
namespace {

using image::v1::FetchRecord;
using machine::v1::FetchImageResponse;

constexpr absl::Duration kReportPause = absl::Milliseconds(200);
constexpr absl::Duration kLookPause = absl::Seconds(5);

// Something came of it already, which a power cut kept us from writing down; or another image took its place.
bool IsOver(const FetchRecord& fetch, const UpgradeRecord& upgrade) {
  return upgrade.state() > resource::v1::UPGRADE_STATE_STAGING && upgrade.since().seconds() >= fetch.since().seconds();
}

}  // namespace

// What the job's thread and the owner thread share.
struct FetchController::Job {
  FetchRecord record;
  bool validate_only = false;
  bool kept = false;  // the record is on the disk
  UpgradeController::StagingGround ground;
  std::atomic<bool> cancelled = false;
  std::atomic<bool> left = false;                  // machined ends: whoever runs next goes on
  std::function<void(FetchImageResponse)> report;  // any thread
  // The owner thread's.
  std::thread thread;
  std::string cancelled_by;
  FetchImageResponse last;
  std::vector<Follower> followers;
  std::vector<std::function<void(const std::string&)>> cancels;
};

FetchController::~FetchController() {
  *alive_ = false;
  if (job_ == nullptr) return;
  job_->left = true;
  job_->cancelled = true;
  if (job_->thread.joinable()) job_->thread.join();
}

absl::Status FetchController::Reconcile() {
  if (looked_ || job_ != nullptr) return absl::OkStatus();
  if (absl::Status ready = upgrades_.Ready(); !ready.ok()) {
    // A node without slots never will be; of another it may show in no resource that it is.
    if (!absl::IsFailedPrecondition(ready)) LookAgain();
    return absl::OkStatus();
  }
  if (!ClockIsSet(*node_)) return absl::OkStatus();
  looked_ = true;
  auto found = std::make_shared<std::optional<FetchRecord>>();
  auto passed_over = std::make_shared<std::vector<std::string>>();
  loop_.RunBlocking([found, passed_over, store = upgrades_.store()] { *found = store.LoadFetch(passed_over.get()); },
                    [this, found, passed_over, alive = alive_] {
                      if (!*alive) return;
                      for (const std::string& line : *passed_over)
                        node_->Emit("upgrade", "records", line, machine::v1::SEVERITY_WARNING);
                      if (found->has_value()) Resume(**found);
                    });
  return absl::OkStatus();
}

void FetchController::LookAgain() {
  if (std::exchange(looks_again_, true)) return;
  loop_.After(kLookPause, [this] {
    looks_again_ = false;
    Wake();
  });
}

void FetchController::Resume(const FetchRecord& record) {
  if (job_ != nullptr) return;  // its record took this one's place
  if (IsOver(record, upgrades_.record())) {
    return loop_.RunBlocking([store = upgrades_.store()] { store.RemoveFetch().IgnoreError(); }, [] {});
  }
  node_->Emit("upgrade", "fetch", absl::StrCat("goes on to fetch ", ShownUrl(record.url())));
  Begin(record, /*validate_only=*/false, /*kept=*/true, std::nullopt);
}

void FetchController::Fetch(FetchRecord wanted, bool validate_only, Follower follower) {
  if (job_ == nullptr) return Begin(std::move(wanted), validate_only, /*kept=*/false, std::move(follower));
  bool same = job_->record.url() == wanted.url() && job_->record.force() == wanted.force() &&
              job_->record.ca() == wanted.ca() && !validate_only && !job_->validate_only;
  if (same) {
    follower.progress(job_->last);
    job_->followers.push_back(std::move(follower));
    return;
  }
  bool otherwise = job_->record.url() == wanted.url();
  follower.done(absl::ResourceExhaustedError(absl::StrCat("the node is fetching ", ShownUrl(job_->record.url()),
                                                          " already", otherwise ? ", asked for otherwise" : "",
                                                          ": `osctl upgrade cancel` ends that")));
}

void FetchController::Begin(FetchRecord wanted, bool validate_only, bool kept, std::optional<Follower> follower) {
  absl::StatusOr<UpgradeController::StagingGround> ground = upgrades_.BeginStaging();
  if (!ground.ok()) {
    if (follower.has_value()) follower->done(ground.status());
    if (kept) looked_ = false;
    if (kept) LookAgain();
    return;
  }
  looked_ = true;
  job_ = std::make_shared<Job>();
  job_->record = std::move(wanted);
  job_->validate_only = validate_only;
  job_->kept = kept;
  job_->ground = *std::move(ground);
  if (follower.has_value()) job_->followers.push_back(*std::move(follower));
  std::weak_ptr<Job> weak = job_;
  job_->report = [this, weak, alive = alive_](FetchImageResponse response) {
    loop_.Post([this, weak, alive, response = std::move(response)] {
      std::shared_ptr<Job> job = weak.lock();
      if (*alive && job != nullptr) OnProgress(job, response);
    });
  };
  job_->thread = std::thread([this, job = job_, alive = alive_, options = options_] {
    absl::Status status = Run(*job, options);
    loop_.Post([this, job, alive, status] {
      if (*alive) OnEnd(job, status);
    });
  });
}

absl::Status FetchController::Run(Job& job, const Options& options) {
  UpgradeStore store(job.ground.state_folder);
  if (!job.validate_only && !job.kept) RETURN_IF_ERROR(Annotate(store.SaveFetch(job.record), "note what to fetch"));
  absl::Status status = Work(job, options);
  // Before anybody is told: what is staged may be activated at once, and must not be staged again.
  if (job.validate_only || job.left) return status;
  if (absl::Status removed = store.RemoveFetch(); status.ok() && !removed.ok()) return removed;
  return status;
}

absl::Status FetchController::Work(Job& job, const Options& options) {
  KeepGoing keep_going = [&job] { return job.cancelled ? absl::CancelledError("it was cancelled") : absl::OkStatus(); };
  FetchImageResponse shown;
  shown.set_step("fetch");
  shown.set_slot(job.ground.place.other_slot);
  job.report(shown);
  const FetchRecord& record = job.record;
  if (!record.ca().empty()) {
    RETURN_IF_ERROR(MakeDirectories(options.ca_file.substr(0, options.ca_file.rfind('/'))));
    RETURN_IF_ERROR(ReplaceFile(options.ca_file, record.ca(), 0644));
  }
  RemoteFile file({.open =
                       [&](uint64_t offset) {
                         return OpenHttp(options.program, record.url(), record.ca().empty() ? "" : options.ca_file,
                                         offset);
                       },
                   .keep_going = keep_going,
                   .tell =
                       [&](const std::string& message) {
                         shown.set_message(message);
                         job.report(shown);
                       },
                   .sleep = absl::SleepFor},
                  RemoteFile::Patience());
  ASSIGN_OR_RETURN(image_file::TrustedKeys keys, image_file::TrustedKeys::Load(job.ground.keys));
  absl::Time reported = absl::InfinitePast();
  FetchCallbacks callbacks;
  callbacks.keep_going = keep_going;
  callbacks.progress = [&](const Staging& staging, const Staging::Progress& progress) {
    if (shown.step() == progress.step && absl::Now() - reported < kReportPause) return;
    reported = absl::Now();
    shown.set_step(progress.step);
    shown.set_offset(progress.offset);
    shown.set_total(staging.total());
    shown.set_version(staging.version());
    job.report(shown);
  };
  StageRequest request = {"", record.force(), job.validate_only, record.asked_by()};
  return Annotate(
      FetchAndStage(file, job.ground.place, UpgradeStore(job.ground.state_folder), keys, std::move(request), callbacks),
      absl::StrCat("fetch ", ShownUrl(record.url())));
}

void FetchController::OnProgress(const std::shared_ptr<Job>& job, const FetchImageResponse& response) {
  if (job != job_) return;
  std::string text = absl::StrCat("fetches ", ShownUrl(job->record.url()));
  if (!response.message().empty()) absl::StrAppend(&text, ": ", response.message());
  bool news = response.message() != job->last.message() && !response.message().empty();
  if (news) node_->Emit("upgrade", "fetch", text, machine::v1::SEVERITY_WARNING);
  job->last = response;
  upgrades_.StagingIsAt(response.version(), response.offset(), response.total(), text);
  for (const Follower& follower : job->followers) follower.progress(response);
}

void FetchController::OnEnd(const std::shared_ptr<Job>& job, const absl::Status& status) {
  job->thread.join();  // this was its last word
  bool cancelled = absl::IsCancelled(status);
  upgrades_.EndStaging(job->last.version(), cancelled ? job->cancelled_by : job->record.asked_by(), job->validate_only,
                       status, [this, job, status, alive = alive_] {
                         if (!*alive) return;
                         job_.reset();
                         for (const Follower& follower : job->followers) follower.done(status);
                         for (const auto& cancel : job->cancels) cancel(job->last.version());
                       });
}

bool FetchController::Cancel(const std::string& asked_by, std::function<void(const std::string& version)> done) {
  if (job_ == nullptr) return false;
  job_->cancelled_by = asked_by;
  job_->cancelled = true;
  job_->cancels.push_back(std::move(done));
  return true;
}

}  // namespace stele::machined
