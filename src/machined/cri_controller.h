// containerd → pods, containers, images; and the pause image, which every sandbox needs, into it.
#pragma once

#include <memory>

#include "machined/controller.h"
#include "machined/cri_client.h"

namespace stele::machined {

struct CriPaths {
  std::string socket = "/run/containerd/containerd.sock";
  std::string pause_archive = "/usr/share/stele/pause.tar";
};

// Looks every two seconds while containerd answers. While it does not, what was last seen stays: the
// containers run on without it. The pause image is imported when it is missing; containerd counts
// as ready only when it is there (probe.cc), so that the kubelet starts no sandbox before.
class CriController : public Controller {
 public:
  explicit CriController(CriPaths paths = {});
  ~CriController() override;
  absl::string_view name() const override { return "cri"; }
  std::vector<std::string> watches() const override { return {}; }
  absl::Status Reconcile() override;

 private:
  struct Look;
  void OnLooked(const Look& look);
  void ImportPause();
  void LookAgainAfter(absl::Duration delay);

  CriPaths paths_;
  std::shared_ptr<CriClient> client_;  // from the first look on; in use by at most one worker
  bool looking_ = false;
  bool importing_ = false;
  bool answered_ = false;
  absl::Time next_import_ = absl::InfinitePast();
  std::string import_error_;
  OwnerLoop::TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace stele::machined
