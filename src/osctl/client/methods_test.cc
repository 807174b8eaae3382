// The paths in methods.h against the protos.
#include "osctl/client/methods.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"

namespace stele::osctl {
namespace {

namespace v1 = stele::machine::v1;

std::set<std::string> checked;

template <Flow kFlow, typename Request, typename Response>
void Check(const Method<kFlow, Request, Response>& method) {
  std::string path = method.path;
  size_t slash = path.rfind('/');
  const auto* service =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(path.substr(1, slash - 1));
  ASSERT_NE(service, nullptr) << path;
  const auto* found = service->FindMethodByName(path.substr(slash + 1));
  ASSERT_NE(found, nullptr) << path;
  EXPECT_EQ(found->input_type(), Request::descriptor()) << path;
  EXPECT_EQ(found->output_type(), Response::descriptor()) << path;
  EXPECT_EQ(found->server_streaming(), kFlow == Flow::kServerStream || kFlow == Flow::kBidi) << path;
  EXPECT_EQ(found->client_streaming(), kFlow == Flow::kClientStream || kFlow == Flow::kBidi) << path;
  checked.insert(found->full_name());
}

// Also that osctl can call everything there is.
TEST(Methods, AreTheProtos) {
  Check(method::kVersion);
  Check(method::kReboot);
  Check(method::kShutdown);
  Check(method::kGet);
  Check(method::kList);
  Check(method::kWatch);
  Check(method::kStartService);
  Check(method::kStopService);
  Check(method::kRestartService);
  Check(method::kRevokeCertificate);
  Check(method::kReadLog);
  Check(method::kStreamEvents);
  Check(method::kGetConfig);
  Check(method::kValidateConfig);
  Check(method::kApplyConfig);
  Check(method::kListFiles);
  Check(method::kReadFile);
  Check(method::kArchive);
  Check(method::kDiskUsage);
  Check(method::kGetConfigText);
  Check(method::kConfigHistory);
  Check(method::kDiffConfig);
  Check(method::kPatchConfig);
  Check(method::kConfirmConfig);
  Check(method::kRevertConfig);
  Check(method::kImportImage);
  Check(method::kRemoveImage);
  Check(method::kRestartContainer);
  Check(method::kStageImage);
  Check(method::kFetchImage);
  Check(method::kActivateImage);
  Check(method::kConfirmImage);
  Check(method::kRollbackImage);
  Check(method::kCancelUpgrade);
  Check(method::kPing);
  Check(method::kTraceRoute);
  Check(method::kResolve);
  Check(method::kProbe);
  Check(method::kCapture);
  Check(method::kInstall);
  Check(method::kReset);
  for (const auto* message :
       {v1::VersionRequest::descriptor(), v1::GetRequest::descriptor(), v1::StartServiceRequest::descriptor(),
        v1::ReadLogRequest::descriptor(), v1::StreamEventsRequest::descriptor(), v1::GetConfigRequest::descriptor(),
        v1::ListFilesRequest::descriptor(), v1::ImportImageRequest::descriptor(), v1::StageImageRequest::descriptor(),
        v1::InstallRequest::descriptor(), v1::PingRequest::descriptor()}) {
    const auto* service = message->file()->service(0);
    for (int i = 0; i < service->method_count(); ++i) {
      EXPECT_EQ(checked.count(service->method(i)->full_name()), 1u) << service->method(i)->full_name();
    }
  }
}

}  // namespace
}  // namespace stele::osctl
