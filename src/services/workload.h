// workload: the PID and mount namespace that containerd, the kubelet and all pods live in.
#pragma once

#include "services/service_set.h"

namespace stele::services {

inline constexpr char kWorkload[] = "workload";

ServiceSpec Workload();

}  // namespace stele::services
