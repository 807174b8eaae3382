// Every RPC that osctl calls, with its types. methods_test.cc holds each against the protos, so a
// wrong path cannot stay.
#pragma once

#include "stele/machine/v1/config_service.pb.h"
#include "stele/machine/v1/container_service.pb.h"
#include "stele/machine/v1/event_service.pb.h"
#include "stele/machine/v1/file_service.pb.h"
#include "stele/machine/v1/image_service.pb.h"
#include "stele/machine/v1/install_service.pb.h"
#include "stele/machine/v1/log_service.pb.h"
#include "stele/machine/v1/metrics_service.pb.h"
#include "stele/machine/v1/network_service.pb.h"
#include "stele/machine/v1/resource_service.pb.h"
#include "stele/machine/v1/security_service.pb.h"
#include "stele/machine/v1/service_service.pb.h"
#include "stele/machine/v1/system_service.pb.h"
#include "stele/machine/v1/upgrade_service.pb.h"

namespace stele::osctl {

// How messages flow: one and one, one and many, many and one, many both ways.
enum class Flow : unsigned char { kUnary, kServerStream, kClientStream, kBidi };

template <Flow kFlow, typename RequestType, typename ResponseType>
struct Method {
  using Request = RequestType;
  using Response = ResponseType;
  static constexpr Flow flow = kFlow;
  const char* path;
};

namespace method {

namespace v1 = stele::machine::v1;

inline constexpr Method<Flow::kUnary, v1::VersionRequest, v1::VersionResponse> kVersion{
    "/stele.machine.v1.SystemService/Version"};
inline constexpr Method<Flow::kUnary, v1::RebootRequest, v1::RebootResponse> kReboot{
    "/stele.machine.v1.SystemService/Reboot"};
inline constexpr Method<Flow::kUnary, v1::ShutdownRequest, v1::ShutdownResponse> kShutdown{
    "/stele.machine.v1.SystemService/Shutdown"};

inline constexpr Method<Flow::kUnary, v1::GetMetricsRequest, v1::GetMetricsResponse> kGetMetrics{
    "/stele.machine.v1.MetricsService/GetMetrics"};

inline constexpr Method<Flow::kUnary, v1::GetRequest, v1::GetResponse> kGet{"/stele.machine.v1.ResourceService/Get"};
inline constexpr Method<Flow::kUnary, v1::ListRequest, v1::ListResponse> kList{
    "/stele.machine.v1.ResourceService/List"};
inline constexpr Method<Flow::kServerStream, v1::WatchRequest, v1::WatchResponse> kWatch{
    "/stele.machine.v1.ResourceService/Watch"};

inline constexpr Method<Flow::kUnary, v1::StartServiceRequest, v1::StartServiceResponse> kStartService{
    "/stele.machine.v1.ServiceService/StartService"};
inline constexpr Method<Flow::kUnary, v1::StopServiceRequest, v1::StopServiceResponse> kStopService{
    "/stele.machine.v1.ServiceService/StopService"};
inline constexpr Method<Flow::kUnary, v1::RestartServiceRequest, v1::RestartServiceResponse> kRestartService{
    "/stele.machine.v1.ServiceService/RestartService"};

inline constexpr Method<Flow::kUnary, v1::RevokeCertificateRequest, v1::RevokeCertificateResponse> kRevokeCertificate{
    "/stele.machine.v1.SecurityService/RevokeCertificate"};

inline constexpr Method<Flow::kServerStream, v1::ReadLogRequest, v1::ReadLogResponse> kReadLog{
    "/stele.machine.v1.LogService/ReadLog"};
inline constexpr Method<Flow::kServerStream, v1::StreamEventsRequest, v1::StreamEventsResponse> kStreamEvents{
    "/stele.machine.v1.EventService/StreamEvents"};

inline constexpr Method<Flow::kUnary, v1::GetConfigRequest, v1::GetConfigResponse> kGetConfig{
    "/stele.machine.v1.ConfigService/GetConfig"};
inline constexpr Method<Flow::kUnary, v1::GetConfigTextRequest, v1::GetConfigTextResponse> kGetConfigText{
    "/stele.machine.v1.ConfigService/GetConfigText"};
inline constexpr Method<Flow::kUnary, v1::ConfigHistoryRequest, v1::ConfigHistoryResponse> kConfigHistory{
    "/stele.machine.v1.ConfigService/ConfigHistory"};
inline constexpr Method<Flow::kUnary, v1::DiffConfigRequest, v1::DiffConfigResponse> kDiffConfig{
    "/stele.machine.v1.ConfigService/DiffConfig"};
inline constexpr Method<Flow::kUnary, v1::ValidateConfigRequest, v1::ValidateConfigResponse> kValidateConfig{
    "/stele.machine.v1.ConfigService/ValidateConfig"};
inline constexpr Method<Flow::kUnary, v1::ApplyConfigRequest, v1::ApplyConfigResponse> kApplyConfig{
    "/stele.machine.v1.ConfigService/ApplyConfig"};
inline constexpr Method<Flow::kUnary, v1::PatchConfigRequest, v1::PatchConfigResponse> kPatchConfig{
    "/stele.machine.v1.ConfigService/PatchConfig"};
inline constexpr Method<Flow::kUnary, v1::ConfirmConfigRequest, v1::ConfirmConfigResponse> kConfirmConfig{
    "/stele.machine.v1.ConfigService/ConfirmConfig"};
inline constexpr Method<Flow::kUnary, v1::RevertConfigRequest, v1::RevertConfigResponse> kRevertConfig{
    "/stele.machine.v1.ConfigService/RevertConfig"};

inline constexpr Method<Flow::kServerStream, v1::ListFilesRequest, v1::ListFilesResponse> kListFiles{
    "/stele.machine.v1.FileService/ListFiles"};
inline constexpr Method<Flow::kServerStream, v1::ReadFileRequest, v1::ReadFileResponse> kReadFile{
    "/stele.machine.v1.FileService/ReadFile"};
inline constexpr Method<Flow::kServerStream, v1::ArchiveRequest, v1::ArchiveResponse> kArchive{
    "/stele.machine.v1.FileService/Archive"};
inline constexpr Method<Flow::kServerStream, v1::DiskUsageRequest, v1::DiskUsageResponse> kDiskUsage{
    "/stele.machine.v1.FileService/DiskUsage"};

inline constexpr Method<Flow::kClientStream, v1::ImportImageRequest, v1::ImportImageResponse> kImportImage{
    "/stele.machine.v1.ImageService/ImportImage"};
inline constexpr Method<Flow::kUnary, v1::RemoveImageRequest, v1::RemoveImageResponse> kRemoveImage{
    "/stele.machine.v1.ImageService/RemoveImage"};

inline constexpr Method<Flow::kUnary, v1::RestartContainerRequest, v1::RestartContainerResponse> kRestartContainer{
    "/stele.machine.v1.ContainerService/RestartContainer"};

inline constexpr Method<Flow::kBidi, v1::StageImageRequest, v1::StageImageResponse> kStageImage{
    "/stele.machine.v1.UpgradeService/StageImage"};
inline constexpr Method<Flow::kServerStream, v1::FetchImageRequest, v1::FetchImageResponse> kFetchImage{
    "/stele.machine.v1.UpgradeService/FetchImage"};
inline constexpr Method<Flow::kUnary, v1::ActivateImageRequest, v1::ActivateImageResponse> kActivateImage{
    "/stele.machine.v1.UpgradeService/ActivateImage"};
inline constexpr Method<Flow::kUnary, v1::ConfirmImageRequest, v1::ConfirmImageResponse> kConfirmImage{
    "/stele.machine.v1.UpgradeService/ConfirmImage"};
inline constexpr Method<Flow::kUnary, v1::RollbackImageRequest, v1::RollbackImageResponse> kRollbackImage{
    "/stele.machine.v1.UpgradeService/RollbackImage"};
inline constexpr Method<Flow::kUnary, v1::CancelUpgradeRequest, v1::CancelUpgradeResponse> kCancelUpgrade{
    "/stele.machine.v1.UpgradeService/CancelUpgrade"};

inline constexpr Method<Flow::kServerStream, v1::PingRequest, v1::PingResponse> kPing{
    "/stele.machine.v1.NetworkService/Ping"};
inline constexpr Method<Flow::kServerStream, v1::TraceRouteRequest, v1::TraceRouteResponse> kTraceRoute{
    "/stele.machine.v1.NetworkService/TraceRoute"};
inline constexpr Method<Flow::kUnary, v1::ResolveRequest, v1::ResolveResponse> kResolve{
    "/stele.machine.v1.NetworkService/Resolve"};
inline constexpr Method<Flow::kUnary, v1::ProbeRequest, v1::ProbeResponse> kProbe{
    "/stele.machine.v1.NetworkService/Probe"};
inline constexpr Method<Flow::kServerStream, v1::CaptureRequest, v1::CaptureResponse> kCapture{
    "/stele.machine.v1.NetworkService/Capture"};

inline constexpr Method<Flow::kServerStream, v1::InstallRequest, v1::InstallResponse> kInstall{
    "/stele.machine.v1.InstallService/Install"};
inline constexpr Method<Flow::kUnary, v1::ResetRequest, v1::ResetResponse> kReset{
    "/stele.machine.v1.InstallService/Reset"};

}  // namespace method
}  // namespace stele::osctl
