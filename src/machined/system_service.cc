// SystemService: versions, and the ends of the machine.
#include <sys/utsname.h>

#include <ctime>

#include "base/build_version.h"
#include "machined/api.h"
#include "machined/boots/boots_controller.h"
#include "machined/caller.h"
#include "machined/cri_version.h"
#include "machined/fact_finder.h"
#include "machined/grpc_status.h"
#include "machined/image_version.h"
#include "machined/upgrade/upgrade_controller.h"
#include "services/containerd.h"
#include "stele/machine/v1/system_service.grpc.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {
namespace {

using init_protocol::EndAction;

// containerd answers at once or is in trouble; a Version call does not wait for that.
constexpr absl::Duration kVersionPatience = absl::Seconds(1);

class SystemService final : public machine::v1::SystemService::CallbackService {
 public:
  explicit SystemService(NodeApi& api) : api_(api) {}

  grpc::ServerUnaryReactor* Version(grpc::CallbackServerContext* context, const machine::v1::VersionRequest*,
                                    machine::v1::VersionResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    // All that never changes is answered on gRPC's own thread: this is the call that tools poll with.
    if (!api_.versions.Get()["containerd"].empty()) {
      Fill(*response);
      reactor->Finish(grpc::Status::OK);
      return reactor;
    }
    api_.node.loop().Post([this, reactor, response] {
      const auto* containerd = api_.node.store().Find<resource::v1::Service>(services::kContainerd);
      auto finish = [this, reactor, response] {
        Fill(*response);
        reactor->Finish(grpc::Status::OK);
      };
      if (containerd == nullptr || !containerd->ready()) return finish();
      api_.node.loop().RunBlocking(
          [this] {
            absl::StatusOr<std::string> version = CriVersion(services::kContainerdSocket, kVersionPatience);
            if (version.ok()) api_.versions.Set("containerd", *version);
          },
          finish);
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* Reboot(grpc::CallbackServerContext* context, const machine::v1::RebootRequest* request,
                                   machine::v1::RebootResponse*) override {
    if (request->kexec()) return Kexec(context, request->force(), request->validate_only());
    return End(context, EndAction::kReboot, "reboot", request->force(), request->validate_only());
  }

  grpc::ServerUnaryReactor* Shutdown(grpc::CallbackServerContext* context, const machine::v1::ShutdownRequest* request,
                                     machine::v1::ShutdownResponse*) override {
    EndAction action = request->halt() ? EndAction::kHalt : EndAction::kPowerOff;
    return End(context, action, request->halt() ? "halt" : "power off", request->force(), request->validate_only());
  }

 private:
  void Fill(machine::v1::VersionResponse& response) const {
    static const std::string image = ImageVersion();  // asked for thousands of times a second
    response.set_stele(image);
    response.set_commit(kBuildCommit);
    utsname names;
    if (::uname(&names) == 0) {
      response.set_kernel(names.release);
      response.set_architecture(names.machine);
      response.set_hostname(names.nodename);
    }
    response.set_boot_id(api_.boot_id);
    timespec wall, boot;
    ::clock_gettime(CLOCK_REALTIME, &wall);
    ::clock_gettime(CLOCK_BOOTTIME, &boot);
    response.mutable_boot_time()->set_seconds(wall.tv_sec - boot.tv_sec);
    for (const auto& [name, version] : api_.versions.Get()) {
      machine::v1::ComponentVersion* component = response.add_components();
      component->set_name(name);
      component->set_version(version);
    }
  }

  grpc::ServerUnaryReactor* End(grpc::CallbackServerContext* context, EndAction action, const char* what, bool force,
                                bool validate_only) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    if (validate_only) {
      reactor->Finish(grpc::Status::OK);
      return reactor;
    }
    api_.node.loop().Post([this, reactor, action, what, force, caller = CallerOf(*context)] {
      EndNow(reactor, action, what, force, caller);
    });
    return reactor;
  }

  // The kernel is loaded first: what refuses it leaves the machine as it is.
  grpc::ServerUnaryReactor* Kexec(grpc::CallbackServerContext* context, bool force, bool validate_only) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    api_.node.loop().Post([this, reactor, force, validate_only, caller = CallerOf(*context)] {
      api_.upgrades.LoadForKexec(
          validate_only, [this, reactor, force, validate_only, caller](const absl::StatusOr<std::string>& loaded) {
            if (!loaded.ok() || validate_only) return reactor->Finish(ToGrpc(Annotate(loaded.status(), "kexec")));
            EndNow(reactor, EndAction::kKexec, "reboot by kexec", force, caller);
          });
    });
    return reactor;
  }

  void EndNow(grpc::ServerUnaryReactor* reactor, EndAction action, const char* what, bool force,
              const std::string& caller) {
    std::string reason = absl::StrCat(force ? "forced, " : "", "asked by ", caller);
    api_.node.Emit("system", what, reason, machine::v1::SEVERITY_WARNING);
    api_.boots.EndMachine(action, force, reason,
                          [reactor](const absl::Status& status) { reactor->Finish(ToGrpc(status)); });
  }

  NodeApi& api_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeSystemService(NodeApi& api) { return std::make_unique<SystemService>(api); }

}  // namespace stele::machined
