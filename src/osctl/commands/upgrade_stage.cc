// Staging: the header first, then what the node says it lacks. One thread sends, one reads how far the
// node is; neither holds more than one message.
#include <thread>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "osctl/commands/upgrade.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::StageImageRequest;
using stele::machine::v1::StageImageResponse;
using Call = Conversation<StageImageRequest, StageImageResponse>;

constexpr uint64_t kChunk = 256 << 10;  // what the API allows in one message
// A call that lasts longer than this for its bytes hangs; what follows it begins where it ended.
constexpr uint64_t kSlowest = 32 << 10;  // bytes a second
constexpr absl::Duration kOverhead = absl::Minutes(10);
constexpr int kFruitless = 5;

// Of one node; its attempts, one after the other.
class Staging {
 public:
  Staging(Node& node, Session& session, Progress& progress, const image_file::Reader& image,
          const StageOptions& options)
      : node_(node),
        session_(session),
        progress_(progress),
        image_(image),
        options_(options),
        name_(session.Label(node)) {}

  absl::Status Run() {
    absl::Status status = Follow(node_, session_.console(), session_.follow_patience(),
                                 [&](const std::function<void()>& alive) { return Attempt(alive); });
    progress_.End(name_);
    RETURN_IF_ERROR(status);
    session_.Tell(node_, Summary());
    return absl::OkStatus();
  }

 private:
  absl::Status Attempt(const std::function<void()>& alive) {
    ++attempts_;
    absl::Duration limit = kOverhead + absl::Seconds(image_.header().total_size / kSlowest);
    ASSIGN_OR_RETURN(Call call, node_.Begin(method::kStageImage, limit));
    StageImageRequest request;
    ASSIGN_OR_RETURN(*request.mutable_begin()->mutable_header(), image_.ReadRaw(0, image_.header().signed_size));
    request.mutable_begin()->set_force(options_.force);
    request.mutable_begin()->set_validate_only(options_.dry_run);
    StageImageResponse response;
    if (!call.Write(request) || !call.Read(&response)) return Ended(call.Finish());
    if (response.offset() > image_.header().total_size) {
      return absl::InternalError(absl::StrCat("the node asks for offset ", response.offset(), " of an image of ",
                                              image_.header().total_size, " bytes"));
    }
    if (attempts_ == 1) first_offset_ = response.offset();
    uint64_t before = furthest_;
    absl::Status status = Exchange(call, response, alive);
    fruitless_ = furthest_ > before ? 0 : fruitless_ + 1;
    // Follow's patience is for a node that is away; this one is there, takes our call, and breaks it.
    if (IsConnectionLoss(status) && fruitless_ >= kFruitless) {
      return Failure(absl::StatusCode::kAborted, ExitCode::kFailed,
                     absl::StrCat("no progress in ", fruitless_, " calls: ", status.message()),
                     "`osctl logs machined` may say why");
    }
    return status;
  }

  absl::Status Exchange(Call& call, StageImageResponse& response, const std::function<void()>& alive) {
    absl::Status sent;
    uint64_t offset = response.offset();
    std::thread sender([&] {
      if (!options_.dry_run) sent = Send(call, offset);
      if (sent.ok()) call.WritesDone();
      if (!sent.ok()) call.Cancel();
    });
    do {
      Take(response, alive);
    } while (call.Read(&response));
    sender.join();
    absl::Status status = call.Finish();
    RETURN_IF_ERROR(sent);  // our own file: the call's end only follows from it
    RETURN_IF_ERROR(Ended(status));
    if (last_.step() != "staged" && !options_.dry_run) {
      return absl::InternalError("the node ended the call without a word that the image is staged");
    }
    return absl::OkStatus();
  }

  // A Write that fails is no error: the call has ended, and says why itself.
  absl::Status Send(Call& call, uint64_t offset) {
    StageImageRequest request;
    for (const uint64_t total = image_.header().total_size; offset < total;) {
      absl::StatusOr<std::string> chunk = image_.ReadRaw(offset, std::min(kChunk, total - offset));
      if (!chunk.ok()) return WithExit(chunk.status(), ExitCode::kLocal);
      if (chunk->empty()) return LocalError(absl::StrCat("the image file became shorter: it ends at ", offset));
      offset += chunk->size();
      request.set_chunk(*std::move(chunk));
      if (!call.Write(request)) return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  void Take(const StageImageResponse& response, const std::function<void()>& alive) {
    if (attempts_ == 1 || response.offset() > furthest_) alive();
    furthest_ = std::max(furthest_, response.offset());
    if (response.step() != last_.step() || last_attempt_ != attempts_) {
      progress_.Begin(name_, DoingStep(response.step()), response.offset(), response.total());
    } else {
      progress_.Set(name_, response.offset());
    }
    last_attempt_ = attempts_;
    last_ = response;
  }

  // What a call's end means here.
  absl::Status Ended(absl::Status status) {
    // A call that was cut may still hold the node's one place; one that stalled may go on.
    bool again = absl::IsResourceExhausted(status) || absl::IsDeadlineExceeded(status);
    if (attempts_ > 1 && again) return absl::UnavailableError(status.message());
    if (absl::IsDeadlineExceeded(status) && furthest_ > first_offset_) return absl::UnavailableError(status.message());
    // apid refuses a certificate's role with this code too; only machined speaks of the image.
    if (absl::IsPermissionDenied(status) && !absl::StrContains(status.message(), "certificate")) {
      return WithExit(std::move(status), ExitCode::kFailed,
                      "`osctl image inspect` shows who signed the file; the node trusts the keys it was built with");
    }
    if (absl::IsDataLoss(status)) {
      return WithExit(std::move(status), ExitCode::kFailed, "check the file with `osctl image verify`");
    }
    return status;
  }

  std::string Summary() const {
    const std::string& version = image_.header().manifest.version();
    uint64_t total = image_.header().total_size;
    std::string slot = last_.slot().empty() ? "" : absl::StrCat(" in slot ", last_.slot());
    if (options_.dry_run) {
      return absl::StrCat("would stage ", version, slot, " and send ", HumanBytes(total - first_offset_), " of ",
                          HumanBytes(total));
    }
    Meter all(first_offset_, total, began_);
    all.set_done(total);
    std::string before = first_offset_ <= image_.header().size
                             ? ""
                             : absl::StrCat("; ", HumanBytes(first_offset_), " were there already");
    return absl::StrCat("staged ", version, slot, ": ", all.Summary(absl::Now()), before);
  }

  Node& node_;
  Session& session_;
  Progress& progress_;
  const image_file::Reader& image_;
  const StageOptions& options_;
  const std::string name_;
  const absl::Time began_ = absl::Now();
  int attempts_ = 0;
  int last_attempt_ = 0;
  int fruitless_ = 0;  // attempts in a row that got no further
  uint64_t first_offset_ = 0;
  uint64_t furthest_ = 0;
  StageImageResponse last_;
};

}  // namespace

std::string DoingStep(const std::string& step) {
  if (step == "check") return "checks";
  if (step == "prepare") return "prepares the slot";
  if (step == "write") return "writes";
  if (step == "verify") return "verifies";
  return step;
}

absl::Status StageImage(Node& node, Session& session, Progress& progress, const image_file::Reader& image,
                        const StageOptions& options) {
  return Staging(node, session, progress, image, options).Run();
}

}  // namespace stele::osctl
