// What runs on the workload side, as containerd's CRI socket tells it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "base/status.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {

// All of it at one moment, by the resources' ids.
struct CriSnapshot {
  std::map<std::string, resource::v1::Pod> pods;
  std::map<std::string, resource::v1::Container> containers;
  std::map<std::string, resource::v1::Image> images;

  bool HasImage(absl::string_view name) const;
};

// Blocks: worker threads only, one call at a time. Remembers what cannot change about a container
// (its log's path, its process while it runs), so that a look costs three calls, not one a container.
class CriClient {
 public:
  virtual ~CriClient() = default;
  static std::unique_ptr<CriClient> Create(const std::string& socket);
  virtual absl::StatusOr<CriSnapshot> List(absl::Duration timeout) = 0;
};

// OK when CRI answers and the pause image is there, so that sandboxes can be made. Blocks: worker
// threads only.
absl::Status CriReady(const std::string& socket, absl::string_view pause_image, absl::Duration timeout);

// The verbs. They block, too; the errors are CRI's, with what was asked.
// SIGTERM, and SIGKILL after `grace`; returns when it has ended. One that has ended already is no error.
absl::Status StopContainer(const std::string& socket, const std::string& id, absl::Duration grace);
// With all its names. One that is not there is no error.
absl::Status RemoveImage(const std::string& socket, const std::string& id);

}  // namespace stele::machined
