// InstallService: onto a disk, and forgetting what is on it.
#include "machined/api.h"
#include "machined/boots/boots_controller.h"
#include "machined/caller.h"
#include "machined/config_controller.h"
#include "machined/grpc_status.h"
#include "machined/install/install_runner.h"
#include "machined/install/reset.h"
#include "machined/stream_writer.h"
#include "stele/machine/v1/install_service.grpc.pb.h"

namespace stele::machined {
namespace {

namespace v1 = machine::v1;
using init_protocol::EndAction;
using Writer = StreamWriter<v1::InstallResponse>;

class InstallService final : public v1::InstallService::CallbackService {
 public:
  explicit InstallService(NodeApi& api) : api_(api) {}

  grpc::ServerWriteReactor<v1::InstallResponse>* Install(grpc::CallbackServerContext* context,
                                                         const v1::InstallRequest* request) override {
    auto* writer = new Writer(api_.node.loop());
    // gRPC's request ends with the call; the installation does not.
    api_.node.loop().Post(
        [this, writer, request = *request, caller = CallerOf(*context)] { Begin(writer, request, caller); });
    return writer;
  }

  grpc::ServerUnaryReactor* Reset(grpc::CallbackServerContext* context, const v1::ResetRequest* request,
                                  v1::ResetResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    api_.node.loop().Post([this, reactor, request, response, caller = CallerOf(*context)] {
      absl::Status wrong = CheckReset(*request);
      std::string disk = api_.config.disk();
      if (wrong.ok() && disk.empty()) wrong = absl::FailedPreconditionError("the node has no disk of its own to reset");
      if (!wrong.ok()) return reactor->Finish(ToGrpc(wrong));
      for (const std::string& action : PlanReset(*request)) response->add_plan(action);
      if (request->validate_only()) return reactor->Finish(grpc::Status::OK);
      WriteDownAndReboot(disk, {*request, caller}, reactor);
    });
    return reactor;
  }

 private:
  void Begin(Writer* writer, const v1::InstallRequest& request, const std::string& caller) {
    auto open = std::make_shared<Writer*>(writer);
    writer->OnEnd([open] { *open = nullptr; });
    const config::v1::MachineConfig* config = api_.node.config();
    if (config == nullptr) {
      return writer->Close(ToGrpc(absl::FailedPreconditionError("the node has no configuration to install with")));
    }
    InstallRunner::Request wanted = {.disk = request.has_disk() ? request.disk() : config->install().disk(),
                                     .wipe = request.wipe(),
                                     .validate_only = request.validate_only(),
                                     .yaml = api_.config.running().yaml};
    auto begun = std::make_shared<bool>(false);
    api_.installs.Start(
        wanted,
        [this, open, begun, caller, dry = request.validate_only()](const v1::InstallResponse& response) {
          if (!std::exchange(*begun, true) && !dry) {
            api_.node.Emit("install", "disk", absl::StrCat("asked by ", caller), v1::SEVERITY_WARNING);
          }
          if (!response.warning().empty()) api_.node.Emit("install", "disk", response.warning(), v1::SEVERITY_WARNING);
          if (*open != nullptr) (*open)->Push(response);
        },
        [this, open, request, caller](const absl::Status& status) {
          if (!request.validate_only()) Ended(status, request.then(), caller);
          if (*open != nullptr) (*open)->Close(ToGrpc(status));
        });
  }

  void Ended(const absl::Status& status, v1::InstallEnd then, const std::string& caller) {
    if (!status.ok()) return api_.node.Emit("install", "disk", status.message(), v1::SEVERITY_ERROR);
    api_.node.Emit("install", "disk", "installed");
    if (then == v1::INSTALL_END_UNSPECIFIED) return;
    EndAction action = then == v1::INSTALL_END_POWER_OFF ? EndAction::kPowerOff : EndAction::kReboot;
    std::string reason = absl::StrCat("installed, asked by ", caller);
    // The client's last answer first.
    api_.node.loop().After(absl::Milliseconds(200), [this, action, reason] {
      api_.boots.EndMachine(action, /*force=*/false, reason, [this](const absl::Status& refused) {
        if (!refused.ok()) api_.node.Emit("install", "end", refused.message(), v1::SEVERITY_ERROR);
      });
    });
  }

  void WriteDownAndReboot(const std::string& disk, const ResetWish& wish, grpc::ServerUnaryReactor* reactor) {
    auto written = std::make_shared<absl::Status>();
    api_.node.loop().RunBlocking(
        [written, disk, wish] { *written = WriteResetWish(disk, wish); },
        [this, written, reactor, caller = wish.asked_by] {
          if (!written->ok()) return reactor->Finish(ToGrpc(*written));
          api_.node.Emit("system", "reset", absl::StrCat("asked by ", caller), v1::SEVERITY_WARNING);
          api_.boots.EndMachine(EndAction::kReboot, /*force=*/false, absl::StrCat("reset, asked by ", caller),
                                [reactor](const absl::Status& status) { reactor->Finish(ToGrpc(status)); });
        });
  }

  NodeApi& api_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeInstallService(NodeApi& api) { return std::make_unique<InstallService>(api); }

}  // namespace stele::machined
