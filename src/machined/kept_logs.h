// Logs of containers whose pods are gone. The kubelet deletes a pod's folder below /var/log/pods within a minute or so
// of the pod, and a container's older runs before that; so the node holds on to each log's newest file by a hard link,
// which costs nothing while the kubelet has the file too:
//
//   /var/log/pods/default_hello_UID/main/0.log              the kubelet's
//   /var/log/stele/containers/default_hello_UID/main/0.log  the same file
//
// A log that was rotated is linked anew, so nothing is held back from the kubelet's own bounds. Of what only the link
// holds, the newest `bytes` and `files` are kept, for `age`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/status.h"
#include "machined/controller.h"

namespace stele::machined {

struct KeptLogPaths {
  std::string pods = "/var/log/pods";
  std::string kept = "/var/log/stele/containers";
};

struct KeptLogBounds {
  uint64_t bytes = 64 << 20;
  size_t files = 1024;
  absl::Duration age = absl::Hours(24);
};

struct KeptLogFile {
  std::string name_space, pod, uid, container;
  uint32_t run = 0;
  std::string path;
  bool gone = false;  // the kubelet has it no more
  uint64_t bytes = 0;
  absl::Time written;
};

// Links what is new and lets go of what is beyond the bounds. Follows no symbolic link: pods may write below
// /var/log/pods. May block.
absl::Status KeepLogs(const KeptLogPaths& paths, const KeptLogBounds& bounds, absl::Time now);

// What is kept, in the order of the paths. May block.
std::vector<KeptLogFile> ListKeptLogs(const KeptLogPaths& paths);

// The newest that is kept of namespace/pod[/container]. NOT_FOUND, or INVALID_ARGUMENT when the pod has several
// containers and none is named. May block.
absl::StatusOr<KeptLogFile> FindKeptLog(const KeptLogPaths& paths, absl::string_view wanted);

// Keeps them: every ten seconds, and at once when containers change.
class KeptLogsController : public Controller {
 public:
  ~KeptLogsController() override { *alive_ = false; }
  absl::string_view name() const override { return "keptlogs"; }
  std::vector<std::string> watches() const override { return {"containers"}; }
  absl::Status Reconcile() override;

 private:
  void LookAgain();

  bool looking_ = false;
  bool again_ = false;  // something changed while a look was under way
  OwnerLoop::TimerId timer_ = 0;
  std::string error_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace stele::machined
