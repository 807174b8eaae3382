#include "machined/install/install_runner.h"

#include <thread>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "machined/config_store.h"
#include "machined/install/remove_tree.h"

namespace stele::machined {

using machine::v1::InstallResponse;

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> FirstStateFiles(const std::string& yaml,
                                                                                 const InstallSource& source,
                                                                                 const std::string& folder) {
  RETURN_IF_ERROR(RemoveTree(folder));
  ASSIGN_OR_RETURN(Generation generation, ConfigStore(folder).Save(yaml, "install", absl::Now()));
  std::string name = absl::StrFormat("generation-%08d.yaml", generation.number);
  absl::StatusOr<std::string> sealed = ReadFile(absl::StrCat(folder, "/", name), 2 << 20);
  RETURN_IF_ERROR(sealed.status());
  RETURN_IF_ERROR(RemoveTree(folder));
  InstallRecord record = {Sha256Hex(yaml), Sha256Hex(source.header)};
  return std::vector<std::pair<std::string, std::string>>{{absl::StrCat("config/", name), *sealed},
                                                          {"install", record.Text()}};
}

void InstallRunner::Start(Request request, Progress progress, Done done) {
  if (busy_) return done(absl::ResourceExhaustedError("an installation is under way: try again when it is done"));
  busy_ = true;
  std::thread([this, request = std::move(request), progress, done] {
    auto tell = [this, progress](const InstallResponse& response) {
      loop_.Post([progress, response] { progress(response); });
    };
    absl::Status status = Run(request, tell);
    loop_.Post([this, done, status] {
      busy_ = false;
      done(status);
    });
  }).detach();  // machined ends without joining anybody; the runner lives as long
}

absl::Status InstallRunner::Run(const Request& request, const Progress& tell) const {
  ASSIGN_OR_RETURN(InstallSource source, OpenMediumSource(facts_, {}));
  ASSIGN_OR_RETURN(DiskInfo disk, SelectDisk(request.disk, ListDisks()));
  if (disk.read_only) return absl::FailedPreconditionError(absl::StrCat(disk.Text(), ": cannot be written"));
  InstallOptions options = {.disk = disk.device,
                            .wipe = request.wipe,
                            .medium_device = facts_.medium_root,
                            .medium_partition = facts_.loader_partition};
  ASSIGN_OR_RETURN(options.state_files, FirstStateFiles(request.yaml, source, options.work + "/config"));
  options.point_boot_entries = [](const std::string& loader, const EspPartition& esp) {
    return PointBootEntriesTo({.first = loader}, esp, EfiVariables());
  };
  Installer installer(std::move(options), std::move(source), [&tell](const InstallProgress& progress) {
    InstallResponse response;
    response.set_step(progress.step);
    response.set_bytes_done(progress.bytes_done);
    response.set_bytes_total(progress.bytes_total);
    response.set_warning(progress.warning);
    tell(response);
  });
  ASSIGN_OR_RETURN(std::vector<std::string> plan, installer.Plan());
  InstallResponse first;
  first.set_step("select");
  first.add_plan(disk.Text());
  for (const std::string& action : plan) first.add_plan(action);
  tell(first);
  return request.validate_only ? absl::OkStatus() : installer.Run();
}

}  // namespace stele::machined
