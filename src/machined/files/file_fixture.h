// For tests: a tree of files with places that may be seen and places that may not, and a service over it.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "machined/files/file_service.h"
#include "machined/files/file_tree.h"
#include "machined/storage_fixture.h"
#include "stele/machine/v1/file_service.grpc.pb.h"

namespace stele::machined {

// What may never come out, in any content, name or link.
inline constexpr char kOutside[] = "OUTSIDE";

inline constexpr FileRule kTestRules[] = {
    {"/open", FileClass::kSystem},
    {"/open/named", FileClass::kSystem},
    {"/logs", FileClass::kLog},
    {"/data", FileClass::kData},
    {"/private", FileClass::kPrivate},
    {"/open/secret", FileClass::kSecret},
    {"/open/*/secret", FileClass::kSecret},
    {"/", FileClass::kSystem},
    {"*.key", FileClass::kSecret},
};

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/stele-files-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    ASSERT_EQ(::chmod(name, 0755), 0);
    folder_ = name;
    top_ = folder_ + "/top";
    for (const char* directory : {"", "/open", "/open/dir", "/open/secret", "/logs", "/data", "/private", "/hidden"}) {
      ASSERT_EQ(::mkdir((top_ + directory).c_str(), 0755), 0) << directory;
    }
    Put("/open/file", "inside");
    Put("/open/dir/file", "inside, deeper");
    for (const char* file : {"/open/secret/OUTSIDE", "/hidden/OUTSIDE", "/../OUTSIDE", "/open/OUTSIDE.key"}) {
      Put(file, kOutside);
    }
  }
  void TearDown() override { Sh({"/bin/rm", "-rf", folder_}); }

  std::string Real(const std::string& path) const { return top_ + path; }

  void Put(const std::string& path, absl::string_view text, mode_t mode = 0644) {
    UniqueFd file(::open(Real(path).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
    ASSERT_TRUE(file.ok() && ::fchmod(file.get(), mode) == 0 && WriteAll(file.get(), text).ok()) << path;
  }
  void Link(const std::string& path, const std::string& target) {
    ASSERT_EQ(::symlink(target.c_str(), Real(path).c_str()), 0) << path;
  }

  FileTree Tree() const { return *FileTree::Open(top_, kTestRules); }

  // What ReadFile does, without gRPC.
  absl::StatusOr<std::string> Read(const std::string& path, Need role = Need::kAdmin) const {
    ASSIGN_OR_RETURN(FoundFile found, Tree().Find(path, role));
    if (!S_ISREG(found.info.st_mode)) return absl::FailedPreconditionError("not regular");
    RETURN_IF_ERROR(CheckAccess(found, role));
    ASSIGN_OR_RETURN(UniqueFd file, OpenToRead(found.fd.get()));
    std::string text(1 << 16, '\0');
    ssize_t size = ::read(file.get(), text.data(), text.size());
    if (size < 0) return ErrnoStatus("read");
    text.resize(static_cast<size_t>(size));
    return text;
  }

  std::string folder_;
  std::string top_;
};

// A server in this process, and what its calls answer.
class FileServiceTest : public FileTest {
 protected:
  void SetUp() override {
    FileTest::SetUp();
    Serve(top_, kTestRules);
  }
  void TearDown() override {
    server_->Shutdown(std::chrono::system_clock::now());
    FileTest::TearDown();
  }

  void Serve(const std::string& top, absl::Span<const FileRule> rules, absl::Duration stall = kMaxFileStall) {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    service_ = MakeFileService(top, rules, stall);
    grpc::ServerBuilder builder;
    std::string address = absl::StrCat("unix:", folder_, "/socket-", ++servers_);
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    stub_ = machine::v1::FileService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  }

  // As apid tells who calls.
  static void Become(grpc::ClientContext& context, const std::string& role) {
    context.AddMetadata("stele-subject", "somebody");
    context.AddMetadata("stele-role", role);
  }

  template <typename Response>
  struct Answer {
    grpc::Status status;
    std::vector<Response> messages;
    std::string data;  // of ReadFile and Archive
    std::string AllText() const {
      std::string text = data;
      for (const Response& message : messages) text += message.ShortDebugString();
      return text;
    }
  };

  template <typename Response>
  static Answer<Response> Collect(std::unique_ptr<grpc::ClientReader<Response>> reader) {
    Answer<Response> answer;
    Response response;
    while (reader->Read(&response)) {
      if constexpr (requires { response.data(); }) answer.data += response.data();
      answer.messages.push_back(response);
    }
    answer.status = reader->Finish();
    return answer;
  }

  Answer<machine::v1::ReadFileResponse> ReadFile(machine::v1::ReadFileRequest request,
                                                 const std::string& role = "admin") {
    grpc::ClientContext context;
    Become(context, role);
    return Collect(stub_->ReadFile(&context, request));
  }
  Answer<machine::v1::ReadFileResponse> ReadFile(const std::string& path, const std::string& role = "admin") {
    machine::v1::ReadFileRequest request;
    request.set_path(path);
    return ReadFile(request, role);
  }
  Answer<machine::v1::ListFilesResponse> List(const std::string& path, uint32_t depth = 1,
                                              const std::string& role = "admin", uint32_t most = 0) {
    machine::v1::ListFilesRequest request;
    request.set_path(path);
    request.set_depth(depth);
    request.set_max_entries(most);
    grpc::ClientContext context;
    Become(context, role);
    return Collect(stub_->ListFiles(&context, request));
  }
  Answer<machine::v1::ArchiveResponse> Archive(const std::string& path, const std::string& role = "admin") {
    machine::v1::ArchiveRequest request;
    request.set_path(path);
    grpc::ClientContext context;
    Become(context, role);
    return Collect(stub_->Archive(&context, request));
  }
  Answer<machine::v1::DiskUsageResponse> Usage(const std::string& path, uint32_t depth = 0,
                                               const std::string& role = "admin") {
    machine::v1::DiskUsageRequest request;
    request.set_path(path);
    request.set_depth(depth);
    grpc::ClientContext context;
    Become(context, role);
    return Collect(stub_->DiskUsage(&context, request));
  }

  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<machine::v1::FileService::Stub> stub_;
  int servers_ = 0;
};

}  // namespace stele::machined
