// For tests: the fake node's services but for images (fake_upgrade.h).
#pragma once

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <string>

#include "osctl/fake_state.h"
#include "stele/machine/v1/config_service.grpc.pb.h"
#include "stele/machine/v1/container_service.grpc.pb.h"
#include "stele/machine/v1/event_service.grpc.pb.h"
#include "stele/machine/v1/image_service.grpc.pb.h"
#include "stele/machine/v1/log_service.grpc.pb.h"
#include "stele/machine/v1/resource_service.grpc.pb.h"
#include "stele/machine/v1/service_service.grpc.pb.h"
#include "stele/machine/v1/system_service.grpc.pb.h"

namespace stele::osctl {

class FakeSystem : public v1::SystemService::Service {
 public:
  explicit FakeSystem(FakeState* state) : state_(state) {}
  grpc::Status Version(grpc::ServerContext*, const v1::VersionRequest*, v1::VersionResponse* response) override {
    int now = ++state_->versions_now;
    for (int most = state_->versions_most; most < now && !state_->versions_most.compare_exchange_weak(most, now);) {
    }
    absl::SleepFor(state_->version_takes);
    --state_->versions_now;
    std::lock_guard<std::mutex> lock(state_->mutex);
    response->set_stele("0.1.0");
    response->set_kernel("6.12.0");
    response->set_boot_id(state_->boot_id);
    auto* component = response->add_components();
    component->set_name("containerd");
    component->set_version("1.7.24");
    return state_->answer;
  }
  grpc::Status Reboot(grpc::ServerContext*, const v1::RebootRequest* request, v1::RebootResponse*) override {
    state_->Record(absl::StrCat("reboot force=", request->force(), " validate_only=", request->validate_only()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (!request->validate_only()) state_->boot_id = "boot-2";
    return state_->answer;
  }
  grpc::Status Shutdown(grpc::ServerContext*, const v1::ShutdownRequest* request, v1::ShutdownResponse*) override {
    state_->Record(absl::StrCat("shutdown force=", request->force(), " halt=", request->halt(),
                                " validate_only=", request->validate_only()));
    return state_->answer;
  }

 private:
  FakeState* state_;
};

class FakeResources : public v1::ResourceService::Service {
 public:
  explicit FakeResources(FakeState* state) : state_(state) {}
  grpc::Status Get(grpc::ServerContext*, const v1::GetRequest* request, v1::GetResponse* response) override {
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (state_->on_get) state_->on_get();
    auto& type = state_->resources[request->type()];
    if (type.count(request->id()) == 0) {
      return {grpc::StatusCode::NOT_FOUND, absl::StrCat("no ", request->type(), " '", request->id(), "'")};
    }
    *response->mutable_resource() = type[request->id()];
    return grpc::Status::OK;
  }
  grpc::Status List(grpc::ServerContext*, const v1::ListRequest* request, v1::ListResponse* response) override {
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (state_->resources.count(request->type()) == 0) {
      return {grpc::StatusCode::NOT_FOUND, absl::StrCat("no resource type '", request->type(), "'")};
    }
    for (const auto& [id, resource] : state_->resources[request->type()]) *response->add_resources() = resource;
    return grpc::Status::OK;
  }
  // The first watch breaks after its first state; the second one misses what was removed meanwhile,
  // has one resource more, and ends well.
  grpc::Status Watch(grpc::ServerContext*, const v1::WatchRequest* request,
                     grpc::ServerWriter<v1::WatchResponse>* writer) override {
    if (state_->cursors) state_->Record("watch " + request->cursor());
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (!request->cursor().empty()) return {grpc::StatusCode::OUT_OF_RANGE, "the cursor is too old"};
    auto& resources = state_->resources[request->type()];
    v1::WatchResponse response;
    for (const auto& [id, resource] : resources) {
      *response.mutable_updated() = resource;
      writer->Write(response);
    }
    response.set_synced(true);
    if (state_->cursors) response.set_cursor("a:1");
    writer->Write(response);
    if (++watches_ > 1) return grpc::Status::OK;
    resources.erase(resources.begin());
    v1::Resource added = resources.begin()->second;
    added.set_id("zz-new");
    resources["zz-new"] = added;
    return {grpc::StatusCode::UNAVAILABLE, "machined is restarting"};
  }

 private:
  FakeState* state_;
  int watches_ = 0;
};

class FakeServices : public v1::ServiceService::Service {
 public:
  explicit FakeServices(FakeState* state) : state_(state) {}
  grpc::Status StartService(grpc::ServerContext*, const v1::StartServiceRequest* request,
                            v1::StartServiceResponse*) override {
    state_->Record("start " + request->name());
    return state_->answer;
  }
  grpc::Status StopService(grpc::ServerContext*, const v1::StopServiceRequest* request,
                           v1::StopServiceResponse*) override {
    state_->Record(absl::StrCat("stop ", request->name(), " force=", request->force()));
    return state_->answer;
  }
  grpc::Status RestartService(grpc::ServerContext*, const v1::RestartServiceRequest* request,
                              v1::RestartServiceResponse*) override {
    state_->Record(absl::StrCat("restart ", request->name(), " force=", request->force()));
    return state_->answer;
  }

 private:
  FakeState* state_;
};

// Cursors are byte offsets, as in machined.
class FakeLogs : public v1::LogService::Service {
 public:
  explicit FakeLogs(FakeState* state) : state_(state) {}
  grpc::Status ReadLog(grpc::ServerContext*, const v1::ReadLogRequest* request,
                       grpc::ServerWriter<v1::ReadLogResponse>* writer) override {
    state_->Record(absl::StrCat("log ", request->ShortDebugString()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    size_t at = request->cursor().empty() ? 0 : std::stoul(request->cursor());
    for (size_t sent = 0; at < state_->log.size();) {
      if (sent >= state_->break_log_after) {
        ++state_->broken_logs;
        return {grpc::StatusCode::UNAVAILABLE, "machined is restarting"};
      }
      size_t end = state_->log.find('\n', std::min(at + 1000, state_->log.size() - 1)) + 1;
      v1::ReadLogResponse response;
      response.set_data(state_->log.substr(at, end - at));
      response.set_cursor(absl::StrCat(end));
      auto* mark = response.add_marks();
      mark->mutable_time()->set_seconds(1'700'000'000);
      writer->Write(response);
      sent += end - at;
      at = end;
    }
    return grpc::Status::OK;
  }

 private:
  FakeState* state_;
};

class FakeEvents : public v1::EventService::Service {
 public:
  explicit FakeEvents(FakeState* state) : state_(state) {}
  grpc::Status StreamEvents(grpc::ServerContext*, const v1::StreamEventsRequest* request,
                            grpc::ServerWriter<v1::StreamEventsResponse>* writer) override {
    std::lock_guard<std::mutex> lock(state_->mutex);
    v1::StreamEventsResponse response;
    response.set_boot_id(state_->boot_id);
    for (const v1::Event& event : state_->events) {
      if (event.id() <= request->after_id()) continue;
      *response.mutable_event() = event;
      writer->Write(response);
    }
    return grpc::Status::OK;
  }

 private:
  FakeState* state_;
};

class FakeConfig : public v1::ConfigService::Service {
 public:
  explicit FakeConfig(FakeState* state) : state_(state) {}
  grpc::Status GetConfig(grpc::ServerContext*, const v1::GetConfigRequest* request,
                         v1::GetConfigResponse* response) override {
    std::lock_guard<std::mutex> lock(state_->mutex);
    response->set_yaml(state_->config);
    response->set_generation(request->generation() == 0 ? 3 : request->generation());
    response->set_source("api");
    return grpc::Status::OK;
  }
  grpc::Status GetConfigText(grpc::ServerContext*, const v1::GetConfigTextRequest*,
                             v1::GetConfigTextResponse* response) override {
    std::lock_guard<std::mutex> lock(state_->mutex);
    response->set_yaml(state_->config);
    response->set_generation(3);
    return state_->answer;
  }
  grpc::Status ConfigHistory(grpc::ServerContext*, const v1::ConfigHistoryRequest*,
                             v1::ConfigHistoryResponse* response) override {
    v1::ConfigGeneration* trial = response->add_generations();
    trial->set_generation(4);
    trial->set_source("api");
    trial->set_state(v1::CONFIG_GENERATION_STATE_TRYING);
    trial->mutable_try_deadline()->set_seconds(1'700'000'060);
    trial->mutable_applied()->set_seconds(1'700'000'000);
    trial->set_applied_by("alice (admin)");
    trial->set_sha256(std::string(64, 'a'));
    v1::ConfigGeneration* good = response->add_generations();
    good->set_generation(3);
    good->set_source("install");
    good->set_state(v1::CONFIG_GENERATION_STATE_KEPT);
    good->set_last_good(true);
    good->mutable_applied()->set_seconds(1'600'000'000);
    good->set_sha256(std::string(64, 'b'));
    return grpc::Status::OK;
  }
  grpc::Status DiffConfig(grpc::ServerContext*, const v1::DiffConfigRequest* request,
                          v1::DiffConfigResponse* response) override {
    state_->Record(absl::StrCat("diff ", request->ShortDebugString()));
    if (request->yaml().find("bad") != std::string::npos) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "2:5: network.bad: unknown key"};
    }
    if (request->yaml() != state_->config) response->set_diff("--- running\n+++ given\n");
    return grpc::Status::OK;
  }
  grpc::Status PatchConfig(grpc::ServerContext*, const v1::PatchConfigRequest* request,
                           v1::PatchConfigResponse* response) override {
    state_->Record(absl::StrCat("patch ", request->ShortDebugString()));
    if (request->patch().find("bad") != std::string::npos) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "the configuration is refused\nnetwork.bad: unknown key"};
    }
    response->set_generation(4);
    response->add_plan("set the host name x");
    return grpc::Status::OK;
  }
  grpc::Status ConfirmConfig(grpc::ServerContext*, const v1::ConfirmConfigRequest* request,
                             v1::ConfirmConfigResponse*) override {
    state_->Record(absl::StrCat("confirm ", request->generation()));
    return state_->answer;
  }
  grpc::Status RevertConfig(grpc::ServerContext*, const v1::RevertConfigRequest* request,
                            v1::RevertConfigResponse* response) override {
    state_->Record(absl::StrCat("revert ", request->generation()));
    response->set_generation(request->generation() == 0 ? 3 : 5);
    return state_->answer;
  }
  grpc::Status ValidateConfig(grpc::ServerContext*, const v1::ValidateConfigRequest* request,
                              v1::ValidateConfigResponse* response) override {
    if (request->yaml().find("bad") != std::string::npos) {
      auto* problem = response->add_problems();
      problem->set_line(2);
      problem->set_column(5);
      problem->set_path("network.bad");
      problem->set_reason("unknown key");
    } else {
      response->add_plan("restart chronyd");
    }
    return grpc::Status::OK;
  }
  grpc::Status ApplyConfig(grpc::ServerContext*, const v1::ApplyConfigRequest* request,
                           v1::ApplyConfigResponse* response) override {
    state_->Record(
        absl::StrCat("apply ", v1::ApplyMode_Name(request->mode()), " validate_only=", request->validate_only(),
                     request->has_try_timeout() ? absl::StrCat(" for=", request->try_timeout().seconds()) : "",
                     request->has_if_generation() ? absl::StrCat(" if=", request->if_generation()) : ""));
    {
      std::lock_guard<std::mutex> lock(state_->mutex);
      state_->applied = request->yaml();
    }
    if (request->yaml().find("bad") != std::string::npos) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "2:5: network.bad: unknown key\n3:1: kind: missing"};
    }
    response->set_generation(4);
    response->add_plan("restart chronyd");
    if (request->mode() == v1::APPLY_MODE_TRY) response->mutable_try_deadline()->set_seconds(1'700'000'060);
    return grpc::Status::OK;
  }

 private:
  FakeState* state_;
};

class FakeImages : public v1::ImageService::Service {
 public:
  explicit FakeImages(FakeState* state) : state_(state) {}
  grpc::Status ImportImage(grpc::ServerContext*, grpc::ServerReader<v1::ImportImageRequest>* reader,
                           v1::ImportImageResponse* response) override {
    std::lock_guard<std::mutex> lock(state_->mutex);
    v1::ImportImageRequest request;
    while (reader->Read(&request)) {
      if (request.chunk().size() > 256 * 1024) return {grpc::StatusCode::INVALID_ARGUMENT, "chunk too large"};
      state_->imported += request.chunk();
    }
    if (state_->imported.empty()) return {grpc::StatusCode::INVALID_ARGUMENT, "no bytes"};
    response->add_names("docker.io/library/demo:1");
    response->set_bytes(state_->imported.size());
    return grpc::Status::OK;
  }
  grpc::Status RemoveImage(grpc::ServerContext*, const v1::RemoveImageRequest* request,
                           v1::RemoveImageResponse* response) override {
    state_->Record(absl::StrCat("remove ", request->image(), " force=", request->force()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    response->add_names("docker.io/library/demo:1");
    response->set_size_bytes(3 << 20);
    return state_->answer;
  }

 private:
  FakeState* state_;
};

class FakeContainers : public v1::ContainerService::Service {
 public:
  explicit FakeContainers(FakeState* state) : state_(state) {}
  grpc::Status RestartContainer(grpc::ServerContext*, const v1::RestartContainerRequest* request,
                                v1::RestartContainerResponse* response) override {
    state_->Record(absl::StrCat("restart ", request->container(), " grace=", request->grace_seconds()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    response->set_container("default/web/web");
    return state_->answer;
  }

 private:
  FakeState* state_;
};

}  // namespace stele::osctl
