// ConfigService: look at, check and change the configuration.
#include <google/protobuf/util/time_util.h>

#include <algorithm>

#include "config/config_patch.h"
#include "config/line_diff.h"
#include "config/machine_config_check.h"
#include "config/proto_to_yaml.h"
#include "config/secrets.h"
#include "machined/api.h"
#include "machined/caller.h"
#include "machined/config_controller.h"
#include "machined/config_history.h"
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

constexpr size_t kMaxDiff = 512 << 10;

// A text, and what it is: with hidden secrets put back.
struct Understood {
  std::string yaml;
  config::ParsedMachineConfig parsed;
};

// `base`, which may be null, is where hidden secrets are taken from.
Understood Understand(const std::string& yaml, const config::v1::MachineConfig* base) {
  static const config::v1::MachineConfig none;
  Understood understood;
  config::RestoredText restored = config::RestoreSecrets(yaml, base == nullptr ? none : *base);
  understood.yaml = std::move(restored.yaml);
  understood.parsed = config::ParseMachineConfig(understood.yaml);
  if (restored.problems.empty()) return understood;
  // What a hidden secret is taken for is not of interest.
  understood.parsed.config = nullptr;
  for (const config::Problem& problem : restored.problems) {
    auto& problems = understood.parsed.problems;
    problems.erase(std::remove_if(problems.begin(), problems.end(),
                                  [&](const config::Problem& other) { return other.path == problem.path; }),
                   problems.end());
    problems.push_back(problem);
  }
  config::SortProblems(&understood.parsed.problems);
  return understood;
}

// The running configuration, as everybody sees it, changed by `patch`.
absl::StatusOr<std::string> Patched(const config::v1::MachineConfig& base, const std::string& patch,
                                    v1::PatchType type) {
  config::ParsedYamlTree changes = config::ReadYamlTree(patch);
  if (!changes.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the patch is not JSON or YAML\n", config::ToString(changes.problem)));
  }
  config::ParsedYamlTree tree = config::ReadYamlTree(config::ProtoToYaml(base, config::Secrets::kRedacted));
  if (!tree.ok()) return absl::InternalError(absl::StrCat("read the running configuration: ", tree.problem.reason));
  if (type != v1::PATCH_TYPE_JSON) return config::WriteYamlTree(config::MergePatch(std::move(tree.tree), changes.tree));
  absl::StatusOr<config::YamlTree> patched = config::JsonPatch(std::move(tree.tree), changes.tree);
  RETURN_IF_ERROR(Annotate(patched.status(), "the patch is refused"));
  return config::WriteYamlTree(*patched);
}

// The same, understood, as the text that is stored: in the order of the schema, comments lost.
absl::StatusOr<Understood> UnderstandPatch(const config::v1::MachineConfig* base, const std::string& patch,
                                           v1::PatchType type) {
  if (base == nullptr) return absl::FailedPreconditionError("the node has no configuration to patch");
  ASSIGN_OR_RETURN(std::string text, Patched(*base, patch, type));
  Understood understood = Understand(text, base);
  // Places in a text that nobody wrote help nobody.
  for (config::Problem& problem : understood.parsed.problems) problem.line = problem.column = 0;
  if (understood.parsed.config != nullptr) {
    understood.yaml = config::ProtoToYaml(*understood.parsed.config, config::Secrets::kPrinted);
    // What is stored is longer than what was patched: it must be readable, too.
    config::ParsedMachineConfig stored = config::ParseMachineConfig(understood.yaml);
    if (stored.config == nullptr) understood.parsed = std::move(stored);
  }
  return understood;
}

ConfigController::Mode ModeOf(v1::ApplyMode mode) {
  switch (mode) {
    case v1::APPLY_MODE_STAGED:
      return ConfigController::Mode::kNextBoot;
    case v1::APPLY_MODE_TRY:
      return ConfigController::Mode::kTry;
    default:
      return ConfigController::Mode::kNow;
  }
}

template <typename Request>
absl::Duration TryTimeoutOf(const Request& request) {
  if (!request.has_try_timeout()) return ConfigController::kTryTimeout;
  return absl::Seconds(request.try_timeout().seconds()) + absl::Nanoseconds(request.try_timeout().nanos());
}

v1::ConfigChangeNeed NeedOf(ChangeNeed need) {
  switch (need) {
    case ChangeNeed::kNothing:
      return v1::CONFIG_CHANGE_NEED_NOTHING;
    case ChangeNeed::kService:
      return v1::CONFIG_CHANGE_NEED_SERVICE;
    case ChangeNeed::kReboot:
      return v1::CONFIG_CHANGE_NEED_REBOOT;
  }
  return v1::CONFIG_CHANGE_NEED_UNSPECIFIED;
}

template <typename Response>
void AddPlan(const ConfigPlan& plan, Response* response) {
  for (const PlannedChange& change : plan) {
    response->add_plan(change.action);
    v1::ConfigChange* told = response->add_changes();
    told->set_action(change.action);
    told->set_need(NeedOf(change.need));
    told->set_service(change.service);
  }
}

// Parsing takes up to 60 ms and generations are files: both are for workers. What runs is looked at on the owner
// thread.
class ConfigService final : public v1::ConfigService::CallbackService {
 public:
  explicit ConfigService(NodeApi& api) : api_(api) {}

  grpc::ServerUnaryReactor* GetConfig(grpc::CallbackServerContext* context, const v1::GetConfigRequest* request,
                                      v1::GetConfigResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    api_.node.loop().Post([this, reactor, request, response] {
      if (absl::Status known = api_.config.Known(); !known.ok()) return reactor->Finish(ToGrpc(known));
      const Generation& running = api_.config.running();
      if (request->generation() != 0 && request->generation() != running.number) {
        return Answer<v1::GetConfigResponse>(reactor, response, [folder = api_.config.folder(), request] {
          return TellGeneration(folder, request->generation());
        });
      }
      if (api_.config.config() == nullptr) return reactor->Finish(NoConfig());
      response->set_yaml(config::ProtoToYaml(*api_.config.config(), config::Secrets::kRedacted));
      response->set_generation(running.number);
      response->set_source(running.source);
      *response->mutable_applied() =
          google::protobuf::util::TimeUtil::SecondsToTimestamp(absl::ToUnixSeconds(running.applied));
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* GetConfigText(grpc::CallbackServerContext* context, const v1::GetConfigTextRequest*,
                                          v1::GetConfigTextResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    api_.node.loop().Post([this, reactor, response] {
      std::shared_ptr<const config::v1::MachineConfig> config = api_.config.config();
      if (config == nullptr) return reactor->Finish(NoConfig());
      response->set_generation(api_.config.running().number);
      Answer<std::string>(reactor, response->mutable_yaml(),
                          [config, yaml = api_.config.running().yaml]() -> absl::StatusOr<std::string> {
                            std::string text = config::HideSecrets(yaml, *config);
                            return text.empty() ? config::ProtoToYaml(*config, config::Secrets::kRedacted) : text;
                          });
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* ConfigHistory(grpc::CallbackServerContext* context, const v1::ConfigHistoryRequest*,
                                          v1::ConfigHistoryResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    api_.node.loop().Post([this, reactor, response] {
      if (absl::Status known = api_.config.Known(); !known.ok()) return reactor->Finish(ToGrpc(known));
      Answer<v1::ConfigHistoryResponse>(
          reactor, response, [folder = api_.config.folder(), running = api_.config.running()] {
            return absl::StatusOr<v1::ConfigHistoryResponse>(TellHistory(folder, running));
          });
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* DiffConfig(grpc::CallbackServerContext* context, const v1::DiffConfigRequest* request,
                                       v1::DiffConfigResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    api_.node.loop().Post([this, reactor, request, response] {
      if (api_.config.config() == nullptr) return reactor->Finish(NoConfig());
      Answer<std::string>(reactor, response->mutable_diff(),
                          [request, running = api_.config.config(), number = api_.config.running().number,
                           folder = api_.config.folder()] { return Diff(*request, running, number, folder); });
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* ValidateConfig(grpc::CallbackServerContext* context,
                                           const v1::ValidateConfigRequest* request,
                                           v1::ValidateConfigResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    Parse([request](const config::v1::MachineConfig* base) { return Understand(request->yaml(), base); },
          [this, reactor, response](absl::StatusOr<Understood> understood) {
            if (!understood.ok()) return reactor->Finish(ToGrpc(understood.status()));
            for (const config::Problem& problem : understood->parsed.problems) {
              v1::ConfigProblem* told = response->add_problems();
              told->set_line(problem.line);
              told->set_column(problem.column);
              told->set_path(problem.path);
              told->set_reason(problem.reason);
            }
            if (understood->parsed.config != nullptr) AddPlan(api_.config.Plan(*understood->parsed.config), response);
            reactor->Finish(grpc::Status::OK);
          });
    return reactor;
  }

  grpc::ServerUnaryReactor* ApplyConfig(grpc::CallbackServerContext* context, const v1::ApplyConfigRequest* request,
                                        v1::ApplyConfigResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    Parse([request](const config::v1::MachineConfig* base) { return Understand(request->yaml(), base); },
          [this, reactor, request, response, caller = CallerOf(*context)](absl::StatusOr<Understood> understood) {
            ConfigController::Wish wish = {.caller = caller};
            if (request->has_if_generation()) wish.if_generation = request->if_generation();
            Change(reactor, *request, response, std::move(wish), std::move(understood));
          });
    return reactor;
  }

  grpc::ServerUnaryReactor* PatchConfig(grpc::CallbackServerContext* context, const v1::PatchConfigRequest* request,
                                        v1::PatchConfigResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    Parse(
        [request](const config::v1::MachineConfig* base) {
          return UnderstandPatch(base, request->patch(), request->type());
        },
        [this, reactor, request, response, caller = CallerOf(*context)](absl::StatusOr<Understood> understood) {
          Change(reactor, *request, response, {.caller = caller}, std::move(understood));
        },
        /*same_generation=*/true);
    return reactor;
  }

  grpc::ServerUnaryReactor* ConfirmConfig(grpc::CallbackServerContext* context, const v1::ConfirmConfigRequest* request,
                                          v1::ConfirmConfigResponse*) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    api_.node.loop().Post([this, reactor, request, caller = CallerOf(*context)] {
      api_.config.Confirm(request->generation(), caller, [reactor](absl::StatusOr<ConfigController::Applied> applied) {
        reactor->Finish(ToGrpc(applied.status()));
      });
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* RevertConfig(grpc::CallbackServerContext* context, const v1::RevertConfigRequest* request,
                                         v1::RevertConfigResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    api_.node.loop().Post([this, reactor, request, response, caller = CallerOf(*context)] {
      api_.config.Revert(request->generation(), caller,
                         [reactor, response](absl::StatusOr<ConfigController::Applied> applied) {
                           if (applied.ok()) {
                             response->set_generation(applied->generation);
                             for (std::string& line : PlanLines(applied->plan)) response->add_plan(std::move(line));
                           }
                           reactor->Finish(ToGrpc(applied.status()));
                         });
    });
    return reactor;
  }

 private:
  grpc::Status NoConfig() const {
    absl::Status known = api_.config.Known();
    return ToGrpc(known.ok() ? absl::NotFoundError("the node has no configuration") : known);
  }

  // Runs `work` on a worker and finishes with what it answers.
  template <typename Result>
  void Answer(grpc::ServerUnaryReactor* reactor, Result* result, std::function<absl::StatusOr<Result>()> work) {
    auto answer = std::make_shared<absl::StatusOr<Result>>(Result());
    api_.node.loop().RunBlocking([answer, work = std::move(work)] { *answer = work(); },
                                 [answer, reactor, result] {
                                   if (answer->ok()) *result = **std::move(answer);
                                   reactor->Finish(ToGrpc(answer->status()));
                                 });
  }

  // Reads a text against what runs on a worker, then calls `done` on the owner thread.
  void Parse(std::function<absl::StatusOr<Understood>(const config::v1::MachineConfig* base)> read,
             std::function<void(absl::StatusOr<Understood>)> done, bool same_generation = false) {
    api_.node.loop().Post([this, read = std::move(read), done = std::move(done), same_generation] {
      if (absl::Status known = api_.config.Known(); !known.ok()) return done(known);
      auto understood = std::make_shared<absl::StatusOr<Understood>>(Understood());
      std::shared_ptr<const config::v1::MachineConfig> base = api_.config.config();
      api_.node.loop().RunBlocking(
          [read, understood, base] { *understood = read(base.get()); },
          [this, understood, base, done, same_generation] {
            if (same_generation && base != api_.config.config()) {
              return done(absl::AbortedError("another configuration was applied meanwhile; try again"));
            }
            done(std::move(*understood));
          });
    });
  }

  template <typename Request, typename Response>
  void Change(grpc::ServerUnaryReactor* reactor, const Request& request, Response* response,
              ConfigController::Wish wish, absl::StatusOr<Understood> understood) {
    if (!understood.ok()) return reactor->Finish(ToGrpc(understood.status()));
    if (understood->parsed.config == nullptr) return reactor->Finish(ToGrpc(Refused(understood->parsed.problems)));
    if (request.validate_only()) {
      AddPlan(api_.config.Plan(*understood->parsed.config), response);
      return reactor->Finish(grpc::Status::OK);
    }
    wish.yaml = std::move(understood->yaml);
    wish.config = std::move(understood->parsed.config);
    wish.mode = ModeOf(request.mode());
    wish.try_timeout = TryTimeoutOf(request);
    api_.config.Apply(std::move(wish), [reactor, response](absl::StatusOr<ConfigController::Applied> applied) {
      if (applied.ok()) {
        response->set_generation(applied->generation);
        AddPlan(applied->plan, response);
        if (applied->deadline != absl::InfiniteFuture()) {
          *response->mutable_try_deadline() =
              google::protobuf::util::TimeUtil::SecondsToTimestamp(absl::ToUnixSeconds(applied->deadline));
        }
      }
      reactor->Finish(ToGrpc(applied.status()));
    });
  }

  static absl::StatusOr<std::string> Diff(const v1::DiffConfigRequest& request,
                                          const std::shared_ptr<const config::v1::MachineConfig>& running,
                                          uint64_t running_number, const std::string& folder) {
    struct Side {
      std::shared_ptr<const config::v1::MachineConfig> config;
      std::string name;
    };
    auto side = [&](uint64_t number) -> absl::StatusOr<Side> {
      if (number == 0 || number == running_number) {
        return Side{running, absl::StrCat("running (generation ", running_number, ")")};
      }
      ASSIGN_OR_RETURN(ReadableGeneration found, ReadGenerationOf(folder, number));
      return Side{found.config, absl::StrCat("generation ", number)};
    };
    Side before, after;
    if (request.yaml().empty()) {
      ASSIGN_OR_RETURN(before, side(request.from_generation()));
      ASSIGN_OR_RETURN(after, side(request.to_generation()));
    } else {
      Understood understood = Understand(request.yaml(), running.get());
      if (understood.parsed.config == nullptr) return Refused(understood.parsed.problems);
      ASSIGN_OR_RETURN(before, side(0));
      after = {understood.parsed.config, "given"};
    }
    config::ComparableTexts texts = config::ToComparable(*before.config, *after.config);
    return config::UnifiedDiff(texts.before, texts.after, before.name, after.name, kMaxDiff);
  }

  NodeApi& api_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeConfigService(NodeApi& api) { return std::make_unique<ConfigService>(api); }

}  // namespace stele::machined
