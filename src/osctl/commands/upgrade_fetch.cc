// Staging from a URL: the node fetches by itself, we look on.
#include "absl/time/clock.h"
#include "osctl/client/follow.h"
#include "osctl/commands/upgrade.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::FetchImageRequest;
using stele::machine::v1::FetchImageResponse;

// Of one node; a call that breaks is made again, and looks on at the same fetch.
class Fetch {
 public:
  Fetch(Node& node, Session& session, Progress& progress, const FetchImageRequest& request)
      : node_(node), session_(session), progress_(progress), request_(request), name_(session.Label(node)) {}

  absl::StatusOr<std::string> Run() {
    absl::Status status = Follow(node_, session_.console(), session_.follow_patience(),
                                 [&](const std::function<void()>& alive) { return Attempt(alive); });
    progress_.End(name_);
    if (!status.ok()) return Ended(std::move(status));
    session_.Tell(node_, Summary());
    return last_.version();
  }

 private:
  absl::Status Attempt(const std::function<void()>& alive) {
    absl::Status status = node_.Stream<FetchImageRequest, FetchImageResponse>(method::kFetchImage, request_,
                                                                              [&](const FetchImageResponse& response) {
                                                                                alive();
                                                                                Take(response);
                                                                                return absl::OkStatus();
                                                                              });
    RETURN_IF_ERROR(status);
    if (last_.step() == (request_.validate_only() ? "check" : "staged")) return absl::OkStatus();
    return absl::InternalError("the node ended the call without a word that the image is staged");
  }

  void Take(const FetchImageResponse& response) {
    if (!response.message().empty() && response.message() != last_.message()) {
      session_.Tell(node_, absl::StrCat("the node waits: ", response.message()));
    }
    if (response.step() == last_.step()) {
      progress_.Set(name_, response.offset());
    } else if (response.total() == 0) {
      progress_.Say(name_, "asks the server");
    } else {
      progress_.Begin(name_, DoingStep(response.step()), response.offset(), response.total());
      if (response.step() == "write" && began_ == absl::InfinitePast()) {
        began_ = absl::Now();
        first_offset_ = response.offset();
      }
    }
    last_ = response;
  }

  absl::Status Ended(absl::Status status) const {
    // apid refuses a certificate's role with this code too.
    if (absl::IsPermissionDenied(status) && last_.step() == "fetch") {
      return WithExit(std::move(status), ExitCode::kFailed, "--ca names the CA of a server that has its own");
    }
    bool lost = IsConnectionLoss(status) && !last_.step().empty();
    if (lost && !request_.validate_only()) {
      return WithExit(std::move(status), ExitCode::kUnreachable,
                      "the node fetches on by itself: `osctl upgrade status` looks on");
    }
    return status;
  }

  std::string Summary() const {
    if (request_.validate_only()) {
      return absl::StrCat("would stage ", last_.version(), " in slot ", last_.slot(), " from the URL");
    }
    std::string text = absl::StrCat("staged ", last_.version(), " in slot ", last_.slot());
    bool nothing_written = began_ == absl::InfinitePast() || first_offset_ >= last_.total();
    if (nothing_written) return absl::StrCat(text, ": all of it was there already");
    Meter all(first_offset_, last_.total(), began_);
    all.set_done(last_.total());
    return absl::StrCat(text, ": ", all.Summary(absl::Now()));
  }

  Node& node_;
  Session& session_;
  Progress& progress_;
  const FetchImageRequest& request_;
  const std::string name_;
  absl::Time began_ = absl::InfinitePast();
  uint64_t first_offset_ = 0;
  FetchImageResponse last_;
};

}  // namespace

absl::StatusOr<std::string> FetchImage(Node& node, Session& session, Progress& progress,
                                       const FetchImageRequest& request) {
  return Fetch(node, session, progress, request).Run();
}

}  // namespace stele::osctl
