// What `osctl upgrade` and its relatives share: staging (upgrade_stage.cc, upgrade_fetch.cc), and waiting for how it
// ends (upgrade_outcome.cc).
#pragma once

#include <string>

#include "image_file/reader.h"
#include "osctl/output/progress.h"
#include "osctl/session.h"
#include "stele/machine/v1/upgrade_service.pb.h"
#include "stele/resource/v1/upgrade.pb.h"

namespace stele::osctl {

struct StageOptions {
  bool force = false;
  bool dry_run = false;
};

// Sends the image to the node, which says from where; goes on by itself when the connection breaks, for as
// long as a follower does. Tells what was done.
absl::Status StageImage(Node& node, Session& session, Progress& progress, const image_file::Reader& image,
                        const StageOptions& options);

// Has the node fetch the image; looks on, also after a broken connection, until it is staged. Its version.
absl::StatusOr<std::string> FetchImage(Node& node, Session& session, Progress& progress,
                                       const stele::machine::v1::FetchImageRequest& request);

// What a step of staging is called while it lasts.
std::string DoingStep(const std::string& step);

// How long an upgrade may take from its activation on, three failed tries of its gate included.
inline constexpr absl::Duration kUpgradePatience = absl::Minutes(45);

// The resource; UNAVAILABLE while a node that has just started has none yet.
absl::StatusOr<stele::resource::v1::Upgrade> CurrentUpgrade(Node& node);
// "0.2.0 is on trial, from 0.1.0, until 2026-…: waits for the kubelet".
std::string Describe(const stele::resource::v1::Upgrade& upgrade);

// Until the upgrade to `version` is good. Fails with the node's reason when it is not, and when another
// took its place.
absl::Status AwaitUpgrade(Node& node, Session& session, Progress& progress, const std::string& version,
                          absl::Duration patience);
// After a rollback told in the boot `old_boot`: until `version` runs and is good, by what the slots say.
absl::Status AwaitRollback(Node& node, Session& session, Progress& progress, const std::string& version,
                           const std::string& old_boot, absl::Duration patience);

}  // namespace stele::osctl
