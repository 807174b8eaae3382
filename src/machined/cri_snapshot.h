// CRI's answers as resources. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "k8s.io/cri-api/pkg/apis/runtime/v1/api.pb.h"
#include "machined/cri_client.h"

namespace stele::machined {

// What List does not tell of a sandbox or container and Status does.
struct SandboxDetails {
  std::string address;
};
struct ContainerDetails {
  std::string image;
  std::string log_path;
  int32_t pid = 0;
};

struct CriAnswers {
  std::vector<::runtime::v1::PodSandbox> sandboxes;
  std::vector<::runtime::v1::Container> containers;
  std::vector<::runtime::v1::Image> images;
  std::map<std::string, SandboxDetails> sandbox_details;      // by sandbox id
  std::map<std::string, ContainerDetails> container_details;  // by container id
};

// Of a pod's sandboxes the newest is the pod; of a container's runs the newest counts as ready or not.
CriSnapshot SnapshotOf(const CriAnswers& answers);

// The main process in a verbose ContainerStatus' info: {"pid":123,...}. 0 when it is not there.
int32_t PidOfInfo(absl::string_view info);

}  // namespace stele::machined
