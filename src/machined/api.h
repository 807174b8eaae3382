// What the gRPC handlers may use, and the services they make up: one file each (*_service.cc).
// Handlers check a request, post to the owner thread, and finish when it answers. Roles are apid's
// matter; machined takes connections from apid and root alone (api_server.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "machined/controller.h"

namespace grpc {
class Service;
}

namespace stele::machined {

class AuditStore;
class BootsController;
class ComponentVersions;
class ConfigController;
class EventLog;
class FetchController;
class InitClient;
class InstallRunner;
class LogStore;
class ProviderReads;
class Revocations;
class ServiceManager;
class UpgradeController;

// Borrowed by the handlers; all of it outlives the server. Owner thread only unless told.
struct NodeApi {
  Node& node;
  EventLog& events;
  InitClient& init;
  ServiceManager& services;
  ConfigController& config;
  LogStore& logs;
  BootsController& boots;  // ends the machine
  InstallRunner& installs;
  UpgradeController& upgrades;
  FetchController& fetches;
  ComponentVersions& versions;  // any thread
  ProviderReads& reads;         // any thread
  AuditStore& audit;            // any thread
  Revocations& revocations;
  std::string boot_id;  // any thread
};

std::unique_ptr<grpc::Service> MakeResourceService(NodeApi& api);
std::unique_ptr<grpc::Service> MakeSystemService(NodeApi& api);
std::unique_ptr<grpc::Service> MakeServiceService(NodeApi& api);
std::unique_ptr<grpc::Service> MakeEventService(NodeApi& api);
std::unique_ptr<grpc::Service> MakeFileService(NodeApi& api);
std::unique_ptr<grpc::Service> MakeImageService(NodeApi& api);
std::unique_ptr<grpc::Service> MakeContainerService(NodeApi& api);
std::unique_ptr<grpc::Service> MakeLogService(NodeApi& api);
std::unique_ptr<grpc::Service> MakeConfigService(NodeApi& api);
std::unique_ptr<grpc::Service> MakeInstallService(NodeApi& api);
std::unique_ptr<grpc::Service> MakeUpgradeService(NodeApi& api);
std::unique_ptr<grpc::Service> MakeNetworkService(NodeApi& api);
std::unique_ptr<grpc::Service> MakeMetricsService(NodeApi& api);
std::unique_ptr<grpc::Service> MakeSecurityService(NodeApi& api);

}  // namespace stele::machined
