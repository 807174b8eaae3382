// Runs installations, one at a time, each on a thread of its own; for InstallService and for the configuration's
// `install:`. Owner thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/boot_facts.h"
#include "machined/install/disk_selector.h"
#include "machined/install/installer.h"
#include "machined/install/medium_source.h"
#include "machined/owner_loop.h"
#include "stele/machine/v1/install_service.pb.h"

namespace stele::machined {

// STELE-STATE's `install`: what an installation was made from.
struct InstallRecord {
  std::string config_sha256, image_sha256;
  std::string Text() const { return absl::StrCat(config_sha256, " ", image_sha256, "\n"); }
};

class InstallRunner {
 public:
  InstallRunner(OwnerLoop& loop, BootFacts facts) : loop_(loop), facts_(std::move(facts)) {}

  struct Request {
    config::v1::DiskSelector disk;
    bool wipe = false;
    bool validate_only = false;
    std::string yaml;  // the configuration that the installed node begins with
  };
  using Progress = std::function<void(const machine::v1::InstallResponse&)>;
  using Done = std::function<void(const absl::Status&)>;
  // Both are called on the owner thread. Goes on when nobody listens any more. RESOURCE_EXHAUSTED while another runs.
  void Start(Request request, Progress progress, Done done);
  bool busy() const { return busy_; }
  const BootFacts& facts() const { return facts_; }

 private:
  absl::Status Run(const Request& request, const Progress& tell) const;
  OwnerLoop& loop_;
  BootFacts facts_;
  bool busy_ = false;
};

// The files of STELE-STATE that an installed node begins with. Works in `folder`.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> FirstStateFiles(const std::string& yaml,
                                                                                 const InstallSource& source,
                                                                                 const std::string& folder);

}  // namespace stele::machined
