#include "machined/upgrade/loader.h"

#include <fcntl.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "machined/upgrade/direct_io.h"
#include "machined/upgrade/pe_image.h"

namespace stele::machined {
namespace {

constexpr char kFolder[] = "EFI/systemd";

std::string NameOf(absl::string_view sha256, absl::string_view suffix) {
  return absl::StrCat("boot-", absl::BytesToHexString(sha256.substr(0, 4)), suffix);
}

// True, false, or what kept it from being read.
absl::StatusOr<bool> Holds(const EspFolder& folder, const std::string& name, const std::string& sha256, uint64_t size) {
  absl::Status same = folder.ReadBack(name, size, sha256);
  if (same.ok()) return true;
  if (absl::IsDataLoss(same) || absl::IsNotFound(same)) return false;
  return same;
}

}  // namespace

absl::StatusOr<Loader> Loader::Open(const std::string& mount) {
  ASSIGN_OR_RETURN(EspFolder own, EspFolder::Open(mount, kFolder));
  ASSIGN_OR_RETURN(EspFolder fallback, EspFolder::Open(mount, "EFI/BOOT"));
  return Loader(std::move(own), std::move(fallback));
}

absl::StatusOr<std::string> Loader::Find(const std::string& sha256, uint64_t size) const {
  for (auto [folder, path] : {std::pair(&own_, "\\EFI\\systemd\\"), std::pair(&fallback_, "\\EFI\\BOOT\\")}) {
    ASSIGN_OR_RETURN(std::vector<std::string> names, folder->Names());
    for (const std::string& name : names) {
      if (!absl::EndsWithIgnoreCase(name, ".efi")) continue;
      ASSIGN_OR_RETURN(bool holds, Holds(*folder, name, sha256, size));
      if (holds) return absl::StrCat(path, name);
    }
  }
  return std::string();
}

absl::StatusOr<bool> Loader::Has(const std::string& sha256, uint64_t size) const {
  ASSIGN_OR_RETURN(std::string path, Find(sha256, size));
  return !path.empty();
}

absl::StatusOr<EspFile> Loader::BeginWrite(const std::string& sha256, uint64_t size) {
  std::string name = NameOf(sha256, ".new");
  absl::StatusOr<EspFile> file = own_.BeginWrite(name, size);
  if (!absl::IsFailedPrecondition(file.status())) return file;
  // A cut in its publishing left both names, and what they hold was damaged since: else it would not be written again.
  RETURN_IF_ERROR(own_.SetAside(name));
  return own_.BeginWrite(name, size);
}

absl::Status Loader::VerifyWritten(const std::string& sha256, uint64_t size) const {
  std::string name = NameOf(sha256, ".new");
  RETURN_IF_ERROR(own_.ReadBack(name, size, sha256));
  ASSIGN_OR_RETURN(UniqueFd fd, OpenDirect(own_.fd(), name, O_RDONLY));
  DirectBuffer buffer;
  std::string head;
  RETURN_IF_ERROR(
      ReadDirect(fd.get(), 0, std::min<uint64_t>(size, kPeHeadSize), buffer, [&head](absl::string_view bytes) {
        head.append(bytes.data(), bytes.size());
        return absl::OkStatus();
      }));
  return Annotate(ReadPeSections(head, size).status(), name);
}

absl::Status Loader::Publish(const std::string& sha256, const AddBootEntries& add_entries) {
  std::string name = NameOf(sha256, ".efi");
  RETURN_IF_ERROR(own_.Rename(NameOf(sha256, ".new"), name));
  return Annotate(add_entries(absl::StrCat("\\EFI\\systemd\\", name)), "make boot entries for the new loader");
}

absl::Status Loader::RemoveUnfinished(const std::string& keep_sha256) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, own_.Names());
  for (const std::string& name : names) {
    bool ours = absl::StartsWith(name, "boot-") && absl::EndsWith(name, ".new");
    if (ours && name != NameOf(keep_sha256, ".new")) RETURN_IF_ERROR(own_.RemoveOrSetAside(name));
  }
  return absl::OkStatus();
}

}  // namespace stele::machined
