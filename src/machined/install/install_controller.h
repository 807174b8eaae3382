// The configuration's `install:`: a node that was booted from a medium puts itself onto the disk and reboots into it.
//
// It never loops. A disk that carries Stele is booted, not installed onto again, save with `wipe` where another
// configuration or another image is to be installed than the one before. A medium that the firmware starts again
// and again, although the disk carries Stele, is left after three times (counted on STELE-STATE, or in a note on the
// disk where that cannot be mounted): then the node goes on from memory and says so. And an installation that fails
// three times is not begun again before the configuration is another one, or the node boots again. A disk that is not
// there yet, or does not fit, is looked for, with the back-off of controllers. Owner thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

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

inline constexpr int kMostMediumBoots = 3;  // after which the node stays in memory
inline constexpr int kInstallTries = 3;     // with one configuration in one boot

enum class InstallDecision { kInstall, kBootDisk, kStay };
// Pure. `wanted` is the record that an installation would leave.
InstallDecision DecideInstall(const FoundInstall& found, bool wipe, const std::string& wanted);

// Looks, and counts the medium's boot when the disk is to be booted. Block.
absl::StatusOr<FoundInstall> FindInstall(const std::string& device, const std::string& work);
absl::Status CountMediumBoot(const FoundInstall& found, const std::string& work);

class InstallController : public Controller {
 public:
  // Where it looks.
  struct Places {
    std::function<absl::StatusOr<InstallSource>(const BootFacts&)> source = [](const BootFacts& facts) {
      return OpenMediumSource(facts, {});
    };
    std::function<std::vector<DiskInfo>()> disks = [] { return ListDisks(); };
    std::string work = "/run/stele/install";
  };
  InstallController(InstallRunner& runner, ConfigController& config, BootsController& boots, Places places)
      : runner_(runner), config_(config), boots_(boots), places_(std::move(places)) {}
  ~InstallController() override { *alive_ = false; }

  absl::string_view name() const override { return "install"; }
  std::vector<std::string> watches() const override { return {"volumes"}; }
  absl::Status Reconcile() override;

 private:
  struct Look;
  void OnLooked(const Look& look);
  void Install();
  void TryLater(const absl::Status& why);
  void OnInstallFailed(const absl::Status& why);
  void OnRunsFromDisk();
  void Reboot(const std::string& reason);

  InstallRunner& runner_;
  ConfigController& config_;
  BootsController& boots_;
  Places places_;
  bool at_work_ = false;                 // also once it is over: one decision a boot
  absl::Status wrong_;                   // what the last look or installation failed with
  bool told_later_ = false;              // the next Reconcile tells it, the one after that looks again
  int failed_ = 0;                       // installations, with the configuration that runs
  std::optional<std::string> given_up_;  // that configuration's text
  bool count_removed_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace stele::machined
