// The list of revoked certificates at work: read before apid has its keys, given to apid at once, and kept.
//
// What is revoked counts from the moment that apid has it, which is before it is on the disk; the caller is told when
// it is there, too. Owner thread only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "machined/controller.h"
#include "machined/security/revocation_list.h"
#include "services/service_set.h"

namespace stele::machined {

class Revocations : public Controller {
 public:
  // The folder of configurations, beside which the list is kept; empty: not known yet.
  using Folder = std::function<std::string()>;
  explicit Revocations(Folder folder) : folder_(std::move(folder)) {}

  absl::string_view name() const override { return "revocations"; }
  std::vector<std::string> watches() const override { return {"volumes"}; }
  absl::Status Reconcile() override;

  // The file that apid reads, with what the disk has. To be written before apid's keys are. Reads the disk, once a
  // folder: the list is small and was written by us.
  services::ServiceFile ApidFile();

  struct Revoked {
    bool already = false;
    bool until_reboot = false;
  };
  using Done = std::function<void(absl::StatusOr<Revoked>)>;
  // `serial`: canonical. An error that says so came after apid had it.
  void Revoke(const std::string& serial, Revocation revocation, Done done);

 private:
  struct Waiting {
    uint64_t change = 0;
    Done done;
  };
  absl::Status Load();
  absl::Status Publish();
  void Save();

  Folder folder_;
  RevocationList list_;
  std::string file_;  // that it was read from
  uint64_t changes_ = 0, saved_ = 0;
  bool saving_ = false;
  bool unpublished_ = false;  // apid's file or the resources are of before
  std::vector<Waiting> waiting_;
};

}  // namespace stele::machined
