// For tests: the fake node's files.
#pragma once

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <string>

#include "osctl/fake_state.h"
#include "stele/machine/v1/file_service.grpc.pb.h"

namespace stele::osctl {

class FakeFiles : public v1::FileService::Service {
 public:
  explicit FakeFiles(FakeState* state) : state_(state) {}

  grpc::Status ListFiles(grpc::ServerContext*, const v1::ListFilesRequest* request,
                         grpc::ServerWriter<v1::ListFilesResponse>* writer) override {
    state_->Record(absl::StrCat("list ", request->ShortDebugString()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (!state_->answer.ok()) return state_->answer;
    for (const v1::FileEntry& entry : state_->files) {
      v1::ListFilesResponse response;
      *response.add_entries() = entry;
      writer->Write(response);
    }
    v1::ListFilesResponse last;
    for (const v1::Omission& omission : state_->omissions) *last.add_omissions() = omission;
    writer->Write(last);
    return grpc::Status::OK;
  }

  // In pieces of 1,000 bytes; a call ends as `break_log_after` says.
  grpc::Status ReadFile(grpc::ServerContext*, const v1::ReadFileRequest* request,
                        grpc::ServerWriter<v1::ReadFileResponse>* writer) override {
    state_->Record(absl::StrCat("read ", request->ShortDebugString()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (!state_->answer.ok()) return state_->answer;
    const std::string& text = state_->log;
    uint64_t at = request->tail_bytes() != 0 ? text.size() - request->tail_bytes() : request->offset();
    uint64_t end = request->limit_bytes() != 0 ? at + request->limit_bytes() : text.size();
    for (size_t sent = 0; at < end;) {
      if (sent >= state_->break_log_after) {
        ++state_->broken_logs;
        return {grpc::StatusCode::UNAVAILABLE, "machined is restarting"};
      }
      v1::ReadFileResponse response;
      response.set_data(text.substr(at, std::min<uint64_t>(1000, end - at)));
      response.set_offset(at);
      at += response.data().size();
      sent += response.data().size();
      writer->Write(response);
    }
    return grpc::Status::OK;
  }

  // `log` is the archive; without a summary it was cut.
  grpc::Status Archive(grpc::ServerContext*, const v1::ArchiveRequest* request,
                       grpc::ServerWriter<v1::ArchiveResponse>* writer) override {
    state_->Record(absl::StrCat("archive ", request->ShortDebugString()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (!state_->answer.ok()) return state_->answer;
    v1::ArchiveResponse response;
    for (size_t at = 0; at < state_->log.size(); at += 1000) {
      response.set_data(state_->log.substr(at, 1000));
      writer->Write(response);
    }
    if (state_->break_log_after != SIZE_MAX) return grpc::Status::OK;
    v1::ArchiveResponse last;
    last.mutable_summary()->set_files(3);
    for (const v1::Omission& omission : state_->omissions) *last.mutable_summary()->add_omissions() = omission;
    writer->Write(last);
    return grpc::Status::OK;
  }

  grpc::Status DiskUsage(grpc::ServerContext*, const v1::DiskUsageRequest* request,
                         grpc::ServerWriter<v1::DiskUsageResponse>* writer) override {
    state_->Record(absl::StrCat("du ", request->ShortDebugString()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (!state_->answer.ok()) return state_->answer;
    v1::DiskUsageResponse response;
    for (const auto& [path, bytes] :
         std::map<std::string, uint64_t>{{"/var/a", 100}, {"/var/b", 5 << 20}, {"/var", 6 << 20}}) {
      auto* usage = response.add_directories();
      usage->set_path(path);
      usage->set_disk_bytes(bytes);
      usage->set_size_bytes(bytes / 2);
      usage->set_files(7);
      usage->set_directories(2);
    }
    for (const v1::Omission& omission : state_->omissions) *response.add_omissions() = omission;
    writer->Write(response);
    return grpc::Status::OK;
  }

 private:
  FakeState* state_;
};

}  // namespace stele::osctl
