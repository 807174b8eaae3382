#include "machined/security/audit_keeper.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "machined/log.h"
#include "machined/log_segments.h"
#include "machined/security/kept_folder.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(500);
constexpr absl::Duration kPauseAfterError = absl::Seconds(5);  // such as a full disk: it takes reading it all again

}  // namespace

// The worker's: one at a time has it. Outlives the keeper where a worker still has it.
struct AuditKeeper::Work {
  AuditStore& store;
  Options options;
  std::string folder;
  std::unique_ptr<SegmentReader> source = {};
  absl::Status status = {};

  absl::Status Prepare() {
    if (source != nullptr && store.folder() == folder) return absl::OkStatus();
    source.reset();
    // The folder of memory is this boot's; its numbers mean nothing on the state partition.
    RETURN_IF_ERROR(store.Open(folder, OutlivesReboots(folder) ? "state" : options.boot));
    ASSIGN_OR_RETURN(source, SegmentReader::Open(options.apid_log, options.boot, {.cursor = store.place()}));
    return absl::OkStatus();
  }

  absl::Status Carry() {
    RETURN_IF_ERROR(Prepare());
    for (;;) {
      ASSIGN_OR_RETURN(LogChunk chunk, source->Next());
      if (chunk.data.size() == 0 && chunk.lost_bytes == 0) return absl::OkStatus();
      RETURN_IF_ERROR(store.Append(RecordsOf(chunk)));
    }
  }

  std::vector<AuditRecord> RecordsOf(const LogChunk& chunk) const {
    uint64_t end = 0;
    size_t colon = chunk.cursor.find(':');
    if (colon != std::string::npos && !absl::SimpleHexAtoi(chunk.cursor.substr(colon + 1), &end)) end = 0;
    uint64_t begin = end - chunk.data.size();
    absl::string_view text = chunk.data.view();
    std::vector<AuditRecord> records;
    if (chunk.lost_bytes > 0) {
      records.push_back(
          {absl::StrCat("time=", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone()),
                        " lost_bytes=", chunk.lost_bytes),
           absl::StrFormat("%s:%x", options.boot, begin)});
    }
    for (size_t at = 0, newline; (newline = text.find('\n', at)) != absl::string_view::npos; at = newline + 1) {
      AuditRecord record;
      if (!ParseAuditLine(text.substr(at, newline - at), &record)) continue;
      record.place = absl::StrFormat("%s:%x", options.boot, begin + newline + 1);
      records.push_back(std::move(record));
    }
    return records;
  }
};

AuditKeeper::AuditKeeper(LogStore& logs, AuditStore& store, Folder folder, Options options)
    : logs_(logs), store_(store), folder_(std::move(folder)), options_(std::move(options)) {
  work_ = std::make_shared<Work>(Work{store_, options_, ""});
}

AuditKeeper::~AuditKeeper() {
  if (subscription_ != 0) logs_.Unsubscribe(subscription_);
}

absl::Status AuditKeeper::Start(Node& node) {
  RETURN_IF_ERROR(Controller::Start(node));
  subscription_ = logs_.Subscribe("apid", [this] { Soon(); });
  return absl::OkStatus();
}

absl::Status AuditKeeper::Reconcile() {
  Soon();
  return absl::OkStatus();
}

// Records that come one after the other go to the disk together.
void AuditKeeper::Soon() {
  if (at_work_) again_ = true;
  if (at_work_ || timer_ != 0) return;
  // The first time at once: until then nobody can read it.
  absl::Duration pause = problem_.empty() ? kPause : kPauseAfterError;
  if (!std::exchange(begun_, true)) pause = absl::ZeroDuration();
  timer_ = node_->loop().After(pause, [this] {
    timer_ = 0;
    Carry();
  });
}

void AuditKeeper::Finish() {
  if (at_work_ || work_->folder.empty()) return;
  if (absl::Status status = work_->Carry(); !status.ok()) Log("error: ", status.message());
}

void AuditKeeper::Carry() {
  std::string folder = folder_();
  if (folder.empty()) return Soon();  // the node still looks for its disk; apid's log waits
  at_work_ = true;
  again_ = false;
  work_->folder = std::move(folder);
  node_->loop().RunBlocking([work = work_] { work->status = work->Carry(); },
                            [this, work = work_] {
                              at_work_ = false;
                              if (!work->status.ok()) work->source.reset();  // begins where the store ends
                              std::string problem(work->status.message());
                              if (problem != problem_ && !problem.empty()) {
                                Log("error: ", problem);
                                node_->Emit("audit", "apid", problem, machine::v1::SEVERITY_ERROR);
                              }
                              problem_ = std::move(problem);
                              if (again_ || !work->status.ok()) Soon();
                            });
}

}  // namespace stele::machined
