// UpgradeService: the calls, checked and handed to the controller (upgrade_controller.h).
#include "absl/time/clock.h"
#include "config/check_pem.h"
#include "machined/api.h"
#include "machined/caller.h"
#include "machined/grpc_status.h"
#include "machined/stream_writer.h"
#include "machined/upgrade/fetch_controller.h"
#include "machined/upgrade/http_stream.h"
#include "machined/upgrade/stage_call.h"
#include "machined/upgrade/upgrade_controller.h"

namespace stele::machined {
namespace {

using machine::v1::ConfirmMode;
using machine::v1::FetchImageRequest;
using machine::v1::FetchImageResponse;

constexpr size_t kMaxCa = 64 * 1024;

absl::Status CheckFetch(const FetchImageRequest& request) {
  RETURN_IF_ERROR(CheckUrl(request.url()));
  if (request.ca().size() > kMaxCa) return absl::InvalidArgumentError("`ca` is longer than 64 KiB");
  std::string wrong = request.ca().empty() ? "" : config::CheckCaPem(request.ca());
  return wrong.empty() ? absl::OkStatus() : absl::InvalidArgumentError(absl::StrCat("`ca`: ", wrong));
}

class UpgradeService final : public machine::v1::UpgradeService::CallbackService {
 public:
  explicit UpgradeService(NodeApi& api) : api_(api) {}

  grpc::ServerBidiReactor<machine::v1::StageImageRequest, machine::v1::StageImageResponse>* StageImage(
      grpc::CallbackServerContext* context) override {
    return new StageCall(api_.node.loop(), api_.upgrades, context);
  }

  grpc::ServerWriteReactor<FetchImageResponse>* FetchImage(grpc::CallbackServerContext* context,
                                                           const FetchImageRequest* request) override {
    auto* writer = new StreamWriter<FetchImageResponse>(api_.node.loop());
    if (absl::Status wrong = CheckFetch(*request); !wrong.ok()) {
      writer->Close(ToGrpc(wrong));
      return writer;
    }
    image::v1::FetchRecord record;
    record.set_url(request->url());
    record.set_ca(request->ca());
    record.set_force(request->force());
    record.set_asked_by(CallerOf(*context));
    SetTime(absl::Now(), *record.mutable_since());
    api_.node.loop().Post([this, writer, record, validate_only = request->validate_only()] {
      // The stream may end first: the fetch goes on.
      auto open = std::make_shared<StreamWriter<FetchImageResponse>*>(writer);
      writer->OnEnd([open] { *open = nullptr; });
      api_.fetches.Fetch(record, validate_only,
                         {.progress =
                              [open](const FetchImageResponse& response) {
                                if (*open != nullptr) (*open)->Push(response);
                              },
                          .done =
                              [open](const absl::Status& status) {
                                if (*open != nullptr) (*open)->Close(ToGrpc(status));
                              }});
    });
    return writer;
  }

  grpc::ServerUnaryReactor* ActivateImage(grpc::CallbackServerContext* context,
                                          const machine::v1::ActivateImageRequest* request,
                                          machine::v1::ActivateImageResponse* response) override {
    UpgradeController::Activation activation;
    activation.options = {CallerOf(*context), request->confirm() == ConfirmMode::CONFIRM_MODE_MANUAL,
                          request->no_reboot()};
    activation.manual_by_config = request->confirm() == ConfirmMode::CONFIRM_MODE_UNSPECIFIED;
    activation.validate_only = request->validate_only();
    bool known = machine::v1::ConfirmMode_IsValid(request->confirm());
    bool valid =
        !request->has_at() || (request->at().seconds() >= 0 && request->at().seconds() < 253402300800 /* year 10000 */);
    if (!known || !valid) {
      grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
      reactor->Finish({grpc::StatusCode::INVALID_ARGUMENT, known ? "`at` is no time" : "`confirm` is no mode"});
      return reactor;
    }
    // Whole seconds, as the record keeps them; a fraction counts as the next one.
    if (request->has_at()) activation.at = TimeOf(request->at()) + absl::Seconds(request->at().nanos() > 0 ? 1 : 0);
    return Do(context, response, [this, activation](UpgradeController::Done done) {
      api_.upgrades.Activate(activation, std::move(done));
    });
  }

  grpc::ServerUnaryReactor* ConfirmImage(grpc::CallbackServerContext* context, const machine::v1::ConfirmImageRequest*,
                                         machine::v1::ConfirmImageResponse* response) override {
    return Do(context, response, [this, caller = CallerOf(*context)](UpgradeController::Done done) {
      api_.upgrades.Confirm(caller, std::move(done));
    });
  }

  grpc::ServerUnaryReactor* RollbackImage(grpc::CallbackServerContext* context,
                                          const machine::v1::RollbackImageRequest* request,
                                          machine::v1::RollbackImageResponse* response) override {
    return Do(context, response,
              [this, caller = CallerOf(*context), validate_only = request->validate_only()](
                  UpgradeController::Done done) { api_.upgrades.Rollback(caller, validate_only, std::move(done)); });
  }

  grpc::ServerUnaryReactor* CancelUpgrade(grpc::CallbackServerContext* context,
                                          const machine::v1::CancelUpgradeRequest*,
                                          machine::v1::CancelUpgradeResponse* response) override {
    return Do(context, response, [this, caller = CallerOf(*context)](UpgradeController::Done done) {
      auto drop = [this, caller, done](const std::string& version) {
        // One that was ended before it had written anything leaves nothing to drop.
        bool wrote = api_.upgrades.record().state() == resource::v1::UPGRADE_STATE_STAGING;
        wrote ? api_.upgrades.Cancel(caller, done) : done(version);
      };
      if (!api_.fetches.Cancel(caller, drop)) api_.upgrades.Cancel(caller, std::move(done));
    });
  }

 private:
  // Runs a verb on the owner thread; its version is the answer.
  template <typename Response>
  grpc::ServerUnaryReactor* Do(grpc::CallbackServerContext* context, Response* response,
                               std::function<void(UpgradeController::Done)> verb) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    api_.node.loop().Post([reactor, response, verb = std::move(verb)] {
      verb([reactor, response](const absl::StatusOr<std::string>& version) {
        if (version.ok()) response->set_version(*version);
        reactor->Finish(ToGrpc(version.status()));
      });
    });
    return reactor;
  }

  NodeApi& api_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeUpgradeService(NodeApi& api) { return std::make_unique<UpgradeService>(api); }

}  // namespace stele::machined
