// For tests: the part of the fake node that takes images. Its "disk" is the file as far as it was received
// and verified, and outlives every call, as a node's does.
#pragma once

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string>

#include "image_file/chunk_check.h"
#include "image_file/header.h"
#include "osctl/fake_state.h"
#include "stele/machine/v1/install_service.grpc.pb.h"
#include "stele/machine/v1/upgrade_service.grpc.pb.h"

namespace stele::osctl {

// Takes an image as machined does, and breaks off where a test wants it to.
class FakeUpgrade : public v1::UpgradeService::Service {
 public:
  explicit FakeUpgrade(FakeState* state) : state_(state) {}

  grpc::Status StageImage(grpc::ServerContext* context,
                          grpc::ServerReaderWriter<v1::StageImageResponse, v1::StageImageRequest>* stream) override {
    FakeStaging& staging = state_->staging;
    v1::StageImageRequest request;
    if (!stream->Read(&request) || !request.has_begin()) return {grpc::StatusCode::INVALID_ARGUMENT, "no begin"};
    grpc::Status refused = Refuse(request.begin());
    if (!refused.ok()) return refused;
    absl::StatusOr<image_file::Header> header = image_file::ParseHeader(request.begin().header());
    if (!header.ok()) return {grpc::StatusCode::INVALID_ARGUMENT, std::string(header.status().message())};
    v1::StageImageResponse response;
    response.set_step("check");
    response.set_total(header->total_size);
    response.set_version(header->manifest.version());
    response.set_slot("b");
    {
      std::lock_guard<std::mutex> lock(state_->mutex);
      if (staging.disk.empty()) {
        staging.disk = request.begin().header();
        staging.disk.resize(header->size, '\0');
      }
      // Only whole chunks count; what came after them is forgotten.
      staging.disk.resize(Verified(*header, staging.disk.size()));
      response.set_offset(staging.disk.size());
      staging.offsets.push_back(staging.disk.size());
      staging.sent.push_back(0);
    }
    stream->Write(response);
    if (request.begin().validate_only()) return grpc::Status::OK;
    staging.under_way = true;
    grpc::Status status = Receive(context, stream, *header, response);
    staging.under_way = false;
    return status;
  }

  // Tells what a test has put there; the message BREAK ends the call as a restart of machined does.
  grpc::Status FetchImage(grpc::ServerContext*, const v1::FetchImageRequest* request,
                          grpc::ServerWriter<v1::FetchImageResponse>* writer) override {
    state_->Record(absl::StrCat("fetch ", request->ShortDebugString()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    while (!state_->fetch.empty()) {
      v1::FetchImageResponse response = state_->fetch.front();
      state_->fetch.erase(state_->fetch.begin());
      if (response.message() == "BREAK") return {grpc::StatusCode::UNAVAILABLE, "machined is restarting"};
      writer->Write(response);
    }
    return state_->answer;
  }

  grpc::Status ActivateImage(grpc::ServerContext*, const v1::ActivateImageRequest* request,
                             v1::ActivateImageResponse* response) override {
    state_->Record(absl::StrCat("activate ", request->ShortDebugString()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (!state_->answer.ok()) return state_->answer;
    response->set_version("0.2.0");
    if (state_->on_activate && !request->validate_only()) return state_->on_activate();
    return grpc::Status::OK;
  }
  grpc::Status ConfirmImage(grpc::ServerContext*, const v1::ConfirmImageRequest*,
                            v1::ConfirmImageResponse* response) override {
    state_->Record("confirm");
    response->set_version("0.2.0");
    return state_->answer;
  }
  grpc::Status RollbackImage(grpc::ServerContext*, const v1::RollbackImageRequest* request,
                             v1::RollbackImageResponse* response) override {
    state_->Record(absl::StrCat("rollback validate_only=", request->validate_only()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    response->set_version("0.1.0");
    if (state_->on_activate && !request->validate_only()) return state_->on_activate();
    return state_->answer;
  }
  grpc::Status CancelUpgrade(grpc::ServerContext*, const v1::CancelUpgradeRequest*,
                             v1::CancelUpgradeResponse* response) override {
    state_->Record("cancel");
    response->set_version("0.2.0");
    return state_->answer;
  }

 private:
  using Stream = grpc::ServerReaderWriter<v1::StageImageResponse, v1::StageImageRequest>;

  grpc::Status Refuse(const v1::StageBegin& begin) {
    std::lock_guard<std::mutex> lock(state_->mutex);
    ++state_->staging.calls;
    state_->calls.push_back(absl::StrCat("stage force=", begin.force(), " validate_only=", begin.validate_only()));
    if (state_->staging.busy > 0 && state_->staging.calls > 1) {
      --state_->staging.busy;
      return {grpc::StatusCode::RESOURCE_EXHAUSTED, "another call stages an image"};
    }
    return state_->answer;
  }

  grpc::Status Receive(grpc::ServerContext* context, Stream* stream, const image_file::Header& header,
                       v1::StageImageResponse response) {
    FakeStaging& staging = state_->staging;
    response.set_step("write");
    v1::StageImageRequest request;
    while (stream->Read(&request)) {
      absl::SleepFor(staging.delay);
      if (context->IsCancelled()) break;
      std::lock_guard<std::mutex> lock(state_->mutex);
      if (request.chunk().empty() || request.chunk().size() > 256 << 10) {
        return {grpc::StatusCode::INVALID_ARGUMENT, "a chunk of a wrong size"};
      }
      staging.sent.back() += request.chunk().size();
      size_t take = request.chunk().size();
      // The connection breaks at exactly this byte of the file.
      auto cut = staging.cuts.upper_bound(staging.disk.size());
      bool breaks = cut != staging.cuts.end() && *cut <= staging.disk.size() + take;
      if (breaks) take = *cut - staging.disk.size();
      staging.disk.append(request.chunk(), 0, take);
      if (breaks) {
        staging.cuts.erase(cut);
        return {grpc::StatusCode::UNAVAILABLE, "machined is restarting"};
      }
      response.set_offset(Verified(header, staging.disk.size()));
      stream->Write(response);
    }
    if (context->IsCancelled()) return grpc::Status::CANCELLED;
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (staging.disk.size() != header.total_size) return {grpc::StatusCode::DATA_LOSS, "the image is cut short"};
    absl::Status whole = CheckWhole(header);
    if (!whole.ok()) return {grpc::StatusCode::DATA_LOSS, std::string(whole.message())};
    for (const char* step : {"verify", "staged"}) {
      response.set_step(step);
      response.set_offset(header.total_size);
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  absl::Status CheckWhole(const image_file::Header& header) {
    for (int i = 0; i < header.part_count(); ++i) {
      image_file::PartCheck check(header, i);
      RETURN_IF_ERROR(
          check.Add(absl::string_view(state_->staging.disk).substr(header.offsets[i], header.part(i).size())));
      RETURN_IF_ERROR(check.Finish());
    }
    return absl::OkStatus();
  }

  // How much of the file's first `size` bytes is in whole chunks.
  static uint64_t Verified(const image_file::Header& header, uint64_t size) {
    uint64_t verified = header.size;
    for (int i = 0; i < header.part_count(); ++i) {
      uint64_t end = header.offsets[i] + image_file::Padded(header.part(i).size());
      if (size >= end) {
        verified = end;
      } else if (size > header.offsets[i]) {
        verified = header.offsets[i] +
                   (size - header.offsets[i]) / header.manifest.chunk_size() * header.manifest.chunk_size();
      }
    }
    return verified;
  }

  FakeState* state_;
};

class FakeInstall : public v1::InstallService::Service {
 public:
  explicit FakeInstall(FakeState* state) : state_(state) {}

  grpc::Status Install(grpc::ServerContext*, const v1::InstallRequest* request,
                       grpc::ServerWriter<v1::InstallResponse>* writer) override {
    state_->Record(absl::StrCat("install ", request->ShortDebugString()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (!state_->answer.ok()) return state_->answer;
    v1::InstallResponse response;
    response.set_step("select");
    response.add_plan("/dev/vda (QEMU, 8.0GiB): wipe, and install 0.2.0");
    writer->Write(response);
    if (request->validate_only()) return grpc::Status::OK;
    response.clear_plan();
    for (const char* step : {"wipe", "image", "image", "table", "boot", "done"}) {
      if (step == state_->install_breaks_at) return {grpc::StatusCode::UNAVAILABLE, "machined is restarting"};
      response.set_step(step);
      response.set_bytes_done(response.bytes_done() + 1000);
      response.set_bytes_total(5000);
      response.set_warning(step == std::string("boot") ? "the firmware takes no boot entries" : "");
      writer->Write(response);
    }
    return grpc::Status::OK;
  }
  grpc::Status Reset(grpc::ServerContext*, const v1::ResetRequest* request, v1::ResetResponse* response) override {
    state_->Record(absl::StrCat("reset ", request->ShortDebugString()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    response->add_plan("wipe STELE-STATE");
    if (!request->validate_only()) state_->boot_id = "boot-2";
    return state_->answer;
  }

 private:
  FakeState* state_;
};

}  // namespace stele::osctl
