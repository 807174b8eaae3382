// ConfigService: look at, check and change the configuration.
#include <google/protobuf/util/time_util.h>

#include "absl/strings/str_join.h"
#include "config/machine_config_check.h"
#include "config/proto_to_yaml.h"
#include "machined/api.h"
#include "machined/caller.h"
#include "machined/config_controller.h"
#include "machined/grpc_status.h"
#include "stele/machine/v1/config_service.grpc.pb.h"

namespace stele::machined {
namespace {

namespace v1 = machine::v1;

// What fits in a gRPC status beside everything else: metadata is bounded.
constexpr size_t kMaxStatusText = 3000;

absl::Status Refused(const std::vector<config::Problem>& problems) {
  std::string text = "the configuration is refused";
  for (const config::Problem& problem : problems) {
    std::string line = absl::StrCat("\n", config::ToString(problem));
    if (text.size() + line.size() > kMaxStatusText) {
      text += "\n…";
      break;
    }
    text += line;
  }
  return absl::InvalidArgumentError(text);
}

class ConfigService final : public v1::ConfigService::CallbackService {
 public:
  explicit ConfigService(NodeApi& api) : api_(api) {}

  grpc::ServerUnaryReactor* GetConfig(grpc::CallbackServerContext* context, const v1::GetConfigRequest*,
                                      v1::GetConfigResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    api_.node.loop().Post([this, reactor, response] {
      const Generation& running = api_.config.running();
      if (api_.node.config() == nullptr) {
        return reactor->Finish({grpc::StatusCode::NOT_FOUND, "the node has no configuration"});
      }
      response->set_yaml(config::ProtoToYaml(*api_.node.config(), config::Secrets::kRedacted));
      response->set_generation(running.number);
      response->set_source(running.source);
      *response->mutable_applied() =
          google::protobuf::util::TimeUtil::SecondsToTimestamp(absl::ToUnixSeconds(running.applied));
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* ValidateConfig(grpc::CallbackServerContext* context,
                                           const v1::ValidateConfigRequest* request,
                                           v1::ValidateConfigResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    Parse(request->yaml(), [this, reactor, response](const config::ParsedMachineConfig& parsed) {
      for (const config::Problem& problem : parsed.problems) {
        v1::ConfigProblem* told = response->add_problems();
        told->set_line(problem.line);
        told->set_column(problem.column);
        told->set_path(problem.path);
        told->set_reason(problem.reason);
      }
      if (parsed.config != nullptr) AddPlan(api_.config.Plan(*parsed.config), response);
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* ApplyConfig(grpc::CallbackServerContext* context, const v1::ApplyConfigRequest* request,
                                        v1::ApplyConfigResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    Parse(request->yaml(),
          [this, reactor, request, response, caller = CallerOf(*context)](const config::ParsedMachineConfig& parsed) {
            if (parsed.config == nullptr) return reactor->Finish(ToGrpc(Refused(parsed.problems)));
            if (request->validate_only()) {
              AddPlan(api_.config.Plan(*parsed.config), response);
              return reactor->Finish(grpc::Status::OK);
            }
            auto mode = request->mode() == v1::APPLY_MODE_STAGED ? ConfigController::Mode::kNextBoot
                                                                 : ConfigController::Mode::kNow;
            api_.config.Apply(request->yaml(), parsed.config, mode, caller,
                              [reactor, response](absl::StatusOr<ConfigController::Applied> applied) {
                                if (applied.ok()) {
                                  response->set_generation(applied->generation);
                                  AddPlan(applied->plan, response);
                                }
                                reactor->Finish(ToGrpc(applied.status()));
                              });
          });
    return reactor;
  }

 private:
  // Parses on a worker (it may take 60 ms), then calls `done` on the owner thread.
  void Parse(const std::string& yaml, std::function<void(const config::ParsedMachineConfig&)> done) {
    auto parsed = std::make_shared<config::ParsedMachineConfig>();
    api_.node.loop().RunBlocking([parsed, &yaml] { *parsed = config::ParseMachineConfig(yaml); },
                                 [parsed, done = std::move(done)] { done(*parsed); });
  }
  template <typename Response>
  static void AddPlan(const std::vector<std::string>& plan, Response* response) {
    for (const std::string& action : plan) response->add_plan(action);
  }

  NodeApi& api_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeConfigService(NodeApi& api) { return std::make_unique<ConfigService>(api); }

}  // namespace stele::machined
