// Images that the node was told to fetch: one at a time, on a thread of its own, whoever looks on.
//
// What is to be fetched is on STELE-STATE (upgrade/fetch) from before the first answer until it is staged, refused or
// cancelled. So a machined that was killed and a node that lost its power go on: Reconcile finds the record once the
// slots are known and the clock can judge certificates. Owner thread only.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "machined/controller.h"
#include "machined/upgrade/upgrade_controller.h"
#include "stele/machine/v1/upgrade_service.pb.h"

namespace stele::machined {

class FetchController : public Controller {
 public:
  struct Options {
    std::string program = "/usr/lib/stele/fetch";
    std::string ca_file = "/run/stele/fetch/ca.pem";
  };
  // Both outlive it.
  FetchController(OwnerLoop& loop, UpgradeController& upgrades, Options options)
      : loop_(loop), upgrades_(upgrades), options_(std::move(options)) {}
  ~FetchController() override;

  absl::string_view name() const override { return "fetches"; }
  std::vector<std::string> watches() const override { return {"upgrades", "time"}; }
  absl::Status Reconcile() override;

  struct Follower {
    std::function<void(const machine::v1::FetchImageResponse&)> progress;
    std::function<void(const absl::Status&)> done;
  };
  // Begins, or looks on at the one under way.
  void Fetch(image::v1::FetchRecord wanted, bool validate_only, Follower follower);

  // Ends the one under way; `done` once it has ended, with the version that it was about, where known. False: there
  // is none.
  bool Cancel(const std::string& asked_by, std::function<void(const std::string& version)> done);

 private:
  struct Job;
  void Begin(image::v1::FetchRecord wanted, bool validate_only, bool kept, std::optional<Follower> follower);
  void LookAgain();
  void Resume(const image::v1::FetchRecord& record);
  // On the job's thread.
  static absl::Status Run(Job& job, const Options& options);
  static absl::Status Work(Job& job, const Options& options);
  void OnProgress(const std::shared_ptr<Job>& job, const machine::v1::FetchImageResponse& response);
  void OnEnd(const std::shared_ptr<Job>& job, const absl::Status& status);

  OwnerLoop& loop_;
  UpgradeController& upgrades_;
  Options options_;
  bool looked_ = false;  // for a record of an earlier machined
  bool looks_again_ = false;
  std::shared_ptr<Job> job_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace stele::machined
