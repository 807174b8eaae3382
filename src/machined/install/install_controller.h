// The configuration's `install:`: a node that was booted from a medium puts itself onto the disk and reboots into it.
//
// It never loops. A disk that carries Stele is booted, not installed onto again, save with `wipe` where another
// configuration or another image is to be installed than the one before. And a medium that the firmware starts again
// and again, although the disk carries Stele, is left after three times (counted on STELE-STATE): then the node goes on
// from memory and says so. Owner thread only.
#pragma once

#include <memory>
#include <string>

#include "machined/boots/boots_controller.h"
#include "machined/config_controller.h"
#include "machined/controller.h"
#include "machined/install/install_runner.h"

namespace stele::machined {

// What the disk to install onto carries.
struct FoundInstall {
  std::string device;
  bool installed = false;  // all partitions of Stele
  std::string record;      // its InstallRecord's text; empty: none
  int medium_boots = 0;    // from the medium, in a row, since it was installed
};

enum class InstallDecision { kInstall, kBootDisk, kStay };
// Pure. `wanted` is the record that an installation would leave.
InstallDecision DecideInstall(const FoundInstall& found, bool wipe, const std::string& wanted);

// Looks, and counts the medium's boot when the disk is to be booted. Blocks.
absl::StatusOr<FoundInstall> FindInstall(const std::string& device, const std::string& work);
absl::Status CountMediumBoot(const FoundInstall& found, const std::string& work);

class InstallController : public Controller {
 public:
  InstallController(InstallRunner& runner, ConfigController& config, BootsController& boots)
      : runner_(runner), config_(config), boots_(boots) {}
  ~InstallController() override { *alive_ = false; }

  absl::string_view name() const override { return "install"; }
  std::vector<std::string> watches() const override { return {"volumes"}; }
  absl::Status Reconcile() override;

 private:
  struct Look;
  void OnLooked(const Look& look);
  void Install();
  void Reboot(const std::string& reason);

  InstallRunner& runner_;
  ConfigController& config_;
  BootsController& boots_;
  bool at_work_ = false;  // also once it is over: one decision a boot
  absl::Status found_wrong_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace stele::machined
