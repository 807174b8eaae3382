// Puts machined together: in this order, since each thing needs those before it.
#include "machined/machined.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <csignal>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "base/boot_facts.h"
#include "base/file.h"
#include "base/first_services.h"
#include "grpcpp/impl/service_type.h"
#include "machined/api.h"
#include "machined/api_server.h"
#include "machined/boots/boots_controller.h"
#include "machined/config_controller.h"
#include "machined/crash_count.h"
#include "machined/event_log.h"
#include "machined/fact_finder.h"
#include "machined/idle_memory.h"
#include "machined/image_version.h"
#include "machined/init_client.h"
#include "machined/install/install_controller.h"
#include "machined/install/install_runner.h"
#include "machined/log.h"
#include "machined/log_sinks/log_sinks_controller.h"
#include "machined/log_store.h"
#include "machined/phase_board.h"
#include "machined/probe.h"
#include "machined/providers/provider_reads.h"
#include "machined/runtime.h"
#include "machined/security/audit_keeper.h"
#include "machined/security/kept_folder.h"
#include "machined/security/revocations.h"
#include "machined/service_files.h"
#include "machined/service_manager.h"
#include "machined/upgrade/fetch_controller.h"
#include "machined/upgrade/upgrade_hands.h"
#include "services/service_list.h"

namespace stele::machined {
namespace {

constexpr char kRun[] = "/run/stele";
constexpr int kMaxListenSockets = 16;

// What the process needs before anything else of it runs.
void PrepareProcess() {
  // One heap: threads are few, and each arena of its own would keep what it once freed.
  ::mallopt(M_ARENA_MAX, 1);
  // An image's messages, 256 KiB each, come from that heap again and again: by mmap, or given back at once, each of
  // them would be 64 page faults. ReleaseIdleMemory gives back what is not used for longer.
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 4 << 20);
  ::signal(SIGPIPE, SIG_IGN);
  // machined empties its own log pipe: it must never wait for itself. A full pipe costs lines.
  int flags = ::fcntl(STDERR_FILENO, F_GETFL);
  if (flags >= 0) ::fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
  ::setvbuf(stderr, nullptr, _IONBF, 0);
}

// init's socket, which is descriptor 3; nothing that machined starts may have it.
absl::StatusOr<UniqueFd> TakeInitSocket() {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(init_protocol::kMachinedFd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
    return absl::FailedPreconditionError("descriptor 3 is not init's control socket: machined is started by init");
  }
  ::fcntl(init_protocol::kMachinedFd, F_SETFD, FD_CLOEXEC);
  return UniqueFd(init_protocol::kMachinedFd);
}

// The API's listening socket, behind init's socket (LISTEN_FDS). Found by what it is.
absl::StatusOr<UniqueFd> TakeListener() {
  UniqueFd found;
  for (int fd = init_protocol::kMachinedFd + 1; fd < init_protocol::kMachinedFd + 1 + kMaxListenSockets; ++fd) {
    int listens = 0;
    socklen_t size = sizeof listens;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) continue;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (!found.ok()) found.reset(fd);
  }
  if (!found.ok()) return absl::FailedPreconditionError("init gave no listening socket");
  return found;
}

std::string ReadBootId() {
  std::string id = ReadFile("/proc/sys/kernel/random/boot_id").value_or("unknown\n");
  return std::string(absl::StripSuffix(id, "\n"));
}

// Ends the loop when init says so.
class Terminator : public FdHandler {
 public:
  explicit Terminator(OwnerLoop& loop) : loop_(loop) {}

  // Before any thread is made, so that all of them block it.
  absl::Status Prepare() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    signals_.reset(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_.ok()) return ErrnoStatus("wait for signals");
    return loop_.events().Add(signals_.get(), EPOLLIN, this);
  }
  void OnReady(uint32_t) override { loop_.Stop(); }

 private:
  OwnerLoop& loop_;
  UniqueFd signals_;
};

// Hands what init tells to who needs it.
class InitNews : public InitListener {
 public:
  InitNews(OwnerLoop& loop, LogStore& logs) : loop_(loop), logs_(logs) {}
  void Connect(ServiceManager& services, PhaseBoard& phases) {
    services_ = &services;
    phases_ = &phases;
  }

  void OnServiceState(const init_protocol::ServiceState& state, UniqueFd log_pipe) override {
    if (log_pipe.ok()) logs_.Attach(state.name, std::move(log_pipe));
    services_->OnServiceState(state);
  }
  void OnPhase(const init_protocol::Phase& phase) override { phases_->OnPhase(phase); }
  void OnListed() override {
    services_->OnListed();
    phases_->OnListed();
  }
  void OnLost(const absl::Status& why) override {
    Log("error: ", why.message());
    failed_ = true;
    loop_.Stop();
  }
  bool failed() const { return failed_; }

 private:
  OwnerLoop& loop_;
  LogStore& logs_;
  ServiceManager* services_ = nullptr;
  PhaseBoard* phases_ = nullptr;
  bool failed_ = false;
};

absl::StatusOr<ServiceManager::Wanted> WantedServices(Node& node, FactFinder& finder, Revocations& revocations) {
  finder.AskInTime(node);
  services::Facts facts = finder.Gather(node);
  services::ServiceSet set = services::AllServices(node.config(), facts);
  // First of all files: apid must not serve by its keys before it knows whom not.
  if (node.config() != nullptr) set.files.insert(set.files.begin(), revocations.ApidFile());
  absl::Status files = WriteServiceFiles(set);
  bool complete = node.config() != nullptr && facts.data_ready && !facts.hostname.empty() && finder.complete();
  return ServiceManager::Wanted{std::move(set.services), complete, files};
}

// Without them (a node of the tests, init's file torn) nothing is assumed: no slot, no medium.
BootFacts FactsOfThisBoot() {
  absl::StatusOr<BootFacts> facts = ReadBootFacts();
  if (!facts.ok()) Log("warning: ", facts.status().message());
  return facts.value_or(BootFacts());
}

// "a" or "b": the name of the partition that the root is on.
std::string SlotOf(const BootFacts& facts) {
  if (facts.medium != BootMedium::kSlot) return "";
  std::string name = facts.root_device.substr(facts.root_device.rfind('/') + 1);
  std::string uevent = ReadFile(absl::StrCat("/sys/class/block/", name, "/uevent")).value_or("");
  if (absl::StrContains(uevent, absl::StrCat("PARTNAME=", kRootALabel, "\n"))) return "a";
  return absl::StrContains(uevent, absl::StrCat("PARTNAME=", kRootBLabel, "\n")) ? "b" : "";
}

absl::Status Run() {
  ASSIGN_OR_RETURN(std::unique_ptr<OwnerLoop> loop, OwnerLoop::Create());
  Terminator terminator(*loop);
  RETURN_IF_ERROR(terminator.Prepare());
  ASSIGN_OR_RETURN(UniqueFd init_socket, TakeInitSocket());
  ASSIGN_OR_RETURN(UniqueFd listener, TakeListener());
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(kRun, "/machined"), 0700));

  absl::StatusOr<uint32_t> crashes = BeginCrashCount(absl::StrCat(kRun, "/machined/crashes"));
  if (!crashes.ok()) Log("warning: crashes are not counted: ", crashes.status().message());

  std::string boot_id = ReadBootId();
  Store store;
  EventLog events(absl::StrCat(kRun, "/machined/events"));
  Runtime runtime(*loop, store, events);
  LogStore logs(*loop, absl::StrCat(kRun, "/log"), boot_id.substr(0, 8));
  InitNews news(*loop, logs);
  InitClient init(*loop, std::move(init_socket), news);
  ComponentVersions versions;
  ServiceManager* asks_facts = nullptr;  // made below, of these
  FactFinder facts(*loop, versions, [&asks_facts] { asks_facts->Wake(); });

  BootFacts boot_facts = FactsOfThisBoot();
  auto boots_owned =
      std::make_unique<BootsController>(init, BootsController::Options{.boot_id = boot_id,
                                                                       .version = ImageVersion(),
                                                                       .slot = SlotOf(boot_facts),
                                                                       .watchdog_reset = boot_facts.watchdog_reset});
  BootsController& boots = *boots_owned;
  ConfigController::Options config_options = {.boot_id = boot_id};
  config_options.from_memory = boot_facts.medium == BootMedium::kMemory;
  config_options.image_on_trial = boot_facts.trial;
  config_options.crashes = crashes.value_or(0);
  config_options.end_machine = [&boots](init_protocol::EndAction action, const std::string& reason) {
    boots.EndMachine(action, /*force=*/false, reason, [](const absl::Status& status) {
      if (!status.ok()) Log("error: end the machine: ", status.message());
    });
  };
  auto config_owned = std::make_unique<ConfigController>(
      *loop, [&facts](Node& node) { return facts.Gather(node); }, std::move(config_options));
  ConfigController& config = *config_owned;
  config.Look();  // on a worker, while the rest is put together

  auto revocations_owned =
      std::make_unique<Revocations>([&config] { return config.Known().ok() ? config.folder() : ""; });
  Revocations& revocations = *revocations_owned;

  // The two controllers that init talks to.
  auto services_owned = std::make_unique<ServiceManager>(
      *loop, init, [&facts, &revocations](Node& node) { return WantedServices(node, facts, revocations); }, Probe,
      absl::StrCat(kRun, "/machined/stopped-services"));
  auto phases_owned = std::make_unique<PhaseBoard>(init, PhaseSteps());
  ServiceManager& services = *services_owned;
  asks_facts = &services;
  news.Connect(services, *phases_owned);

  InstallRunner installs(*loop, boot_facts);
  auto upgrades_owned =
      std::make_unique<UpgradeController>(*loop, UpgradeHands(init, boots, logs), UpgradeController::Options());
  UpgradeController& upgrades = *upgrades_owned;
  auto fetches_owned = std::make_unique<FetchController>(*loop, upgrades, FetchController::Options());
  FetchController& fetches = *fetches_owned;
  AuditStore audit;
  auto audit_owned = std::make_unique<AuditKeeper>(
      logs, audit, [&config] { return config.Known().ok() ? FolderBeside(config.folder(), "audit") : ""; },
      AuditKeeper::Options{.boot = boot_id.substr(0, 8)});
  AuditKeeper& keeper = *audit_owned;
  std::vector<std::unique_ptr<Controller>> controllers;
  controllers.push_back(std::move(services_owned));
  controllers.push_back(std::move(phases_owned));
  controllers.push_back(std::move(boots_owned));
  controllers.push_back(std::move(config_owned));
  controllers.push_back(std::make_unique<InstallController>(installs, config, boots, InstallController::Places()));
  controllers.push_back(std::move(upgrades_owned));
  controllers.push_back(std::move(fetches_owned));
  controllers.push_back(std::make_unique<LogSinksController>(logs, LogSinksController::Options{.boot_id = boot_id}));
  controllers.push_back(std::move(audit_owned));
  controllers.push_back(std::move(revocations_owned));
  for (std::unique_ptr<Controller>& controller : AllControllers()) controllers.push_back(std::move(controller));

  // The API before the controllers: a node without network, disk or configuration answers.
  ProviderReads reads(*loop);
  NodeApi api = {runtime,  events,  init,     services, config, logs,        boots,  installs,
                 upgrades, fetches, versions, reads,    audit,  revocations, boot_id};
  std::vector<std::unique_ptr<grpc::Service>> handlers;
  for (auto make : {MakeResourceService, MakeSystemService, MakeServiceService, MakeEventService, MakeFileService,
                    MakeImageService, MakeLogService, MakeConfigService, MakeInstallService, MakeUpgradeService,
                    MakeNetworkService, MakeMetricsService, MakeContainerService, MakeSecurityService}) {
    handlers.push_back(make(api));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<ApiServer> server,
                   ApiServer::Start(*loop, std::move(listener), kApidUser, std::move(handlers)));
  runtime.StartControllers(std::move(controllers));
  RETURN_IF_ERROR(init.Start());
  ReleaseIdleMemory(*loop);
  loop->Run();
  if (news.failed()) return absl::UnavailableError("the connection to init ended");
  keeper.Finish();
  // Nothing else to tidy up: all that lasts is init's or on disk, and threads of gRPC may be anywhere.
  std::_Exit(0);
}

}  // namespace

int MachinedMain(int, char**) {
  PrepareProcess();
  Log("machined starts");
  absl::Status status = Run();
  if (!status.ok()) Log("error: ", status.message());
  std::_Exit(1);
}

}  // namespace stele::machined
