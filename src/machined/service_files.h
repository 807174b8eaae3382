// The files and directories that services read: written before a service is told to start.
#pragma once

#include <string>

#include "base/status.h"
#include "services/service_set.h"

namespace stele::machined {

// Makes the directories, writes what differs, removes what must not be there. Below `root`. Goes on
// after a failure and returns the first: one service's file must not keep the others from starting.
absl::Status WriteServiceFiles(const services::ServiceSet& set, const std::string& root = "");

}  // namespace stele::machined
