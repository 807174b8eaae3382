// An installation, a reset and a flip of the boot order, by the classes that machined calls.

#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "lab_machine.h"
#include "machined/install/grow.h"
#include "machined/install/install_runner.h"
#include "machined/install/loader_trial.h"
#include "machined/install/medium_source.h"
#include "machined/install/reset.h"

namespace stele::lab {
namespace {

constexpr char kWork[] = "/run/install";

// From the medium that this lab machine was booted from, so to say: a head and a root part, signed.
absl::Status InstallOnto(Machine& machine, bool wipe) {
  BootFacts facts;
  facts.medium = BootMedium::kMemory;
  facts.medium_root = "/payload/medium.root";
  ASSIGN_OR_RETURN(machined::InstallSource source,
                   machined::OpenMediumSource(facts, {.head = "/payload/medium.head", .keys = "/payload/keys"}));
  machined::InstallOptions options = {.disk = machine.disk(), .wipe = wipe, .work = kWork};
  ASSIGN_OR_RETURN(options.state_files,
                   machined::FirstStateFiles("machine:\n  hostname: lab\n", source, absl::StrCat(kWork, "/config")));
  std::string step = "wish";
  auto tell = [&](const machined::InstallProgress& progress) {
    if (progress.step == step) return;
    step = progress.step;
    machine.Mark(absl::StrCat("step-", step)).IgnoreError();  // one that is missing is told when the log is read
  };
  RETURN_IF_ERROR(machined::Installer(std::move(options), std::move(source), tell).Run());
  return machine.Mark("installed");
}

absl::Status ResetWith(Machine& machine, const machine::v1::ResetRequest& request) {
  RETURN_IF_ERROR(machine.Mark("wish"));
  RETURN_IF_ERROR(machined::WriteResetWish(machine.disk(), {request, "the lab"}));
  RETURN_IF_ERROR(machine.Mark("wished"));
  // The next boot, before anything is mounted.
  ASSIGN_OR_RETURN(std::optional<machined::ResetWish> wish, machined::ReadResetWish(machine.disk()));
  if (!wish.has_value()) return absl::DataLossError("the wish is not there");
  RETURN_IF_ERROR(machine.Mark("reset"));
  RETURN_IF_ERROR(machined::CarryOutReset(machine.disk(), *wish, {}, [](const std::string&) {}));
  return machine.Mark("reset-done");
}

}  // namespace

absl::Status Install(Machine& machine) { return InstallOnto(machine, /*wipe=*/false); }
absl::Status InstallWiping(Machine& machine) { return InstallOnto(machine, /*wipe=*/true); }

absl::Status Reset(Machine& machine) {
  machine::v1::ResetRequest request;
  request.set_state(true);
  request.set_data(true);
  return ResetWith(machine, request);
}

absl::Status ResetKeeping(Machine& machine) {
  machine::v1::ResetRequest request;
  request.set_data(true);
  request.add_keep("lib/etcd");
  return ResetWith(machine, request);
}

// What the first boot does on a disk that is larger than the image on it.
absl::Status Grow(Machine& machine) {
  RETURN_IF_ERROR(machine.Mark("grow"));
  ASSIGN_OR_RETURN(bool grew, machined::GrowDataPartition(machine.disk()));
  if (!grew) return absl::FailedPreconditionError("nothing grew");
  return machine.Mark("grown");
}

// As an upgrade with another loader does once that loader has its name. Nothing on the disk changes: what is recorded
// is the firmware's flash.
absl::Status FlipBootOrder(Machine& machine) {
  ASSIGN_OR_RETURN(machined::DiskContents contents, machined::ProbeDisk(machine.disk()));
  const machined::Partition* esp = machined::FindPartition(contents, machined::kEspLabel);
  if (esp == nullptr) return absl::NotFoundError("the disk has no ESP");
  machined::EfiVariables variables;
  RETURN_IF_ERROR(variables.Prepare());
  ASSIGN_OR_RETURN(std::string loader, Payload("new-loader"));
  machined::EspPartition partition = {static_cast<uint32_t>(esp->number), esp->start / 512, esp->size / 512, esp->uuid};
  return machined::TryLoader(loader, partition, variables);
}

}  // namespace stele::lab
