// One call of StageImage. gRPC's threads bring requests, a thread of its own stages them. What arrives while that one
// is at the disk waits here, kAhead bytes at most: then a fast client waits. Includes gRPC: for *_service.cc only.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>

#include "absl/time/time.h"
#include "machined/own_thread.h"
#include "machined/upgrade/rate_floor.h"
#include "machined/upgrade/staging.h"
#include "machined/upgrade/upgrade_controller.h"
#include "stele/machine/v1/upgrade_service.grpc.pb.h"

namespace stele::machined {

// What is borne of a client that is slow.
struct StagePatience {
  absl::Duration idle = absl::Seconds(30);     // without a byte, or without taking an answer
  absl::Duration window = RateFloor::kWindow;  // in which too few bytes may come
};

// Deletes itself in OnDone. What it borrows outlives the server.
class StageCall : public grpc::ServerBidiReactor<machine::v1::StageImageRequest, machine::v1::StageImageResponse> {
 public:
  StageCall(OwnerLoop& loop, UpgradeController& upgrades, grpc::CallbackServerContext* context,
            StagePatience patience = {});

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  // All below on the call's own thread.
  void Run();
  absl::Status Stage();
  // The next request, into `taken_`; false at the stream's end.
  absl::StatusOr<bool> Read();
  // Begins to read one more where there is room for it. Not with the lock held.
  void ReadAhead();
  absl::StatusOr<std::string> NextChunk();
  void Report(const Staging& staging, const Staging::Progress& progress, const std::string& slot);
  void Write(machine::v1::StageImageResponse response);
  absl::Status KeepGoing();

  OwnerLoop& loop_;
  UpgradeController& upgrades_;  // owner thread
  grpc::CallbackServerContext* context_;
  std::string caller_;
  std::string version_;  // once it is known
  bool validate_only_ = false;
  bool began_ = false;  // the controller waits for our end
  machine::v1::StageImageRequest taken_;
  machine::v1::StageImageResponse response_;
  const StagePatience patience_;
  RateFloor floor_{patience_.window};
  absl::Time reported_ = absl::InfinitePast();
  std::string reported_step_;
  std::mutex mutex_;
  std::condition_variable changed_;
  machine::v1::StageImageRequest request_;  // gRPC's while it reads
  bool reading_ = false;
  std::deque<machine::v1::StageImageRequest> ahead_;  // arrived and not taken
  size_t ahead_bytes_ = 0;
  bool ended_ = false;
  bool cancelled_ = false;
  bool finishing_ = false;  // nothing more is read
  bool writing_ = false;
  OwnThread thread_;
};

}  // namespace stele::machined
