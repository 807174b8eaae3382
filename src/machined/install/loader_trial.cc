#include "machined/install/loader_trial.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace stele::machined {
namespace {

constexpr char kLoaderGuid[] = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

// A variable of systemd-boot's: UTF-16, of which ours are all ASCII.
absl::StatusOr<std::string> ReadText(const EfiVariables& variables, const char* name) {
  ASSIGN_OR_RETURN(EfiVariable variable, variables.Read(absl::StrCat(name, "-", kLoaderGuid)));
  std::string text;
  for (size_t at = 0; at + 1 < variable.data.size(); at += 2) {
    char low = variable.data[at], high = variable.data[at + 1];
    if (low == 0 && high == 0) break;
    text += high == 0 ? low : '?';
  }
  return text;
}

bool Same(const std::string& a, const std::string& b) { return absl::EqualsIgnoreCase(a, b); }  // as FAT has it

}  // namespace

absl::StatusOr<std::string> RunningLoader(const EspPartition& esp, const EfiVariables& variables) {
  RETURN_IF_ERROR(variables.Prepare());
  ASSIGN_OR_RETURN(std::string partition, ReadText(variables, "LoaderDevicePartUUID"));
  ASSIGN_OR_RETURN(std::string file, ReadText(variables, "LoaderImageIdentifier"));
  if (!Same(partition, esp.uuid)) {
    return absl::NotFoundError(absl::StrCat("the loader came from the partition ", partition, ", not ", esp.uuid));
  }
  file = WithBackslashes(file);
  if (!IsOurLoader(file)) return absl::NotFoundError(absl::StrCat(file, " is no loader of ours"));
  return file;
}

absl::Status TryLoader(const std::string& loader, const EspPartition& esp, const EfiVariables& variables,
                       const PartitionIsGone& is_gone) {
  LoaderOrder wanted = {.first = WithBackslashes(loader)};
  absl::StatusOr<std::string> running = RunningLoader(esp, variables);
  if (running.ok()) {
    wanted.behind = *running;
  } else {
    ASSIGN_OR_RETURN(std::vector<std::string> before, LoadersInOrder(esp, variables));
    if (!before.empty()) wanted.behind = before.front();
  }
  if (Same(wanted.first, wanted.behind)) wanted.behind.clear();
  return PointBootEntriesTo(wanted, esp, variables, is_gone);
}

absl::Status EndLoaderTrial(LoaderVerdict verdict, const EspPartition& esp, const EfiVariables& variables,
                            const PartitionIsGone& is_gone) {
  ASSIGN_OR_RETURN(std::vector<std::string> order, LoadersInOrder(esp, variables));
  if (order.empty()) return absl::OkStatus();  // firmware that keeps no entries
  if (verdict == LoaderVerdict::kFailed) {
    return order.size() < 2 ? absl::OkStatus() : PointBootEntriesTo({.first = order[1]}, esp, variables, is_gone);
  }
  absl::StatusOr<std::string> running = RunningLoader(esp, variables);
  if (absl::IsNotFound(running.status())) return absl::OkStatus();
  RETURN_IF_ERROR(running.status());
  bool has_entry =
      std::any_of(order.begin(), order.end(), [&](const std::string& file) { return Same(file, *running); });
  if (has_entry) RETURN_IF_ERROR(PointBootEntriesTo({.first = *running}, esp, variables, is_gone));
  if (Same(*running, order.front())) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("this firmware started ", *running, " instead of ", order.front(), ", the first in its boot order: ",
                   has_entry ? "the boot entries are those of the former again" : "it keeps to an order of its own",
                   ". Look in its setup whether it refuses the latter (Secure Boot) or has a boot order of its own"));
}

}  // namespace stele::machined
