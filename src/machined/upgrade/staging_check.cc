// Staging's first step: whether this node takes this image, before anything is changed.
#include "absl/strings/escaping.h"
#include "image_file/version.h"
#include "machined/upgrade/activation.h"
#include "machined/upgrade/slot_device.h"
#include "machined/upgrade/staging.h"

namespace stele::machined {
namespace {

using image::v1::PartKind;

// For directories, and so that the file system is never quite full.
constexpr uint64_t kEspMargin = 256 * 1024;

}  // namespace

absl::Status Staging::Check() {
  ASSIGN_OR_RETURN(header_, image_file::ParseTrustedHeader(request_.header, keys_));
  if (header_.signed_size != request_.header.size()) {
    return absl::InvalidArgumentError("the header has more bytes than it says");
  }
  if (place_.trial) {
    return absl::FailedPreconditionError(
        "the image that runs is on trial: nothing is staged before it is known to be good");
  }
  if (header_.manifest.architecture() != place_.architecture) {
    return absl::FailedPreconditionError(
        absl::StrCat("the image is for ", header_.manifest.architecture(), ", this machine is ", place_.architecture));
  }
  if (absl::BytesToHexString(header_.manifest.verity().root_hash()) == place_.running_root_hash) {
    return absl::FailedPreconditionError(absl::StrCat("this very image, ", version(), ", runs already"));
  }
  if (!request_.force) RETURN_IF_ERROR(CheckVersions());
  if (!request_.force) RETURN_IF_ERROR(CheckHistory());
  RETURN_IF_ERROR(place_.esp.MountReadOnly());
  ASSIGN_OR_RETURN(Esp esp, Esp::Open(place_.esp.target()));
  ASSIGN_OR_RETURN(std::vector<BootEntry> entries, esp.List());
  RETURN_IF_ERROR(CheckRunning(esp, entries));
  return CheckSpace(esp, entries);
}

// What `prepare` takes away may be all that boots: the UKI of the image that runs can be lost or damaged since it was
// started. Read only where there is something to lose.
absl::Status Staging::CheckRunning(const Esp& esp, const std::vector<BootEntry>& entries) const {
  const BootEntry* other = nullptr;
  for (const BootEntry& entry : entries) {
    absl::StatusOr<std::string> root_hash = esp.RootHashIn(entry);
    if (entry.bootable() && !entry.failed() && root_hash.ok() && *root_hash != place_.running_root_hash) other = &entry;
  }
  if (other == nullptr) return absl::OkStatus();
  auto boots = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(BootEntry running, FindRunning(place_, esp));
    if (running.kind != BootEntry::Kind::kGood)
      return absl::FailedPreconditionError(absl::StrCat(FileName(running), " is not known to be good"));
    std::vector<std::string> passed_over;
    std::optional<image_file::Header> own = store_.Manifest(place_.running_slot, &passed_over);
    if (!own.has_value() || absl::BytesToHexString(own->manifest.verity().root_hash()) != place_.running_root_hash)
      return absl::OkStatus();
    const image::v1::Part& uki = own->part(own->Find(PartKind::PART_KIND_UKI));
    return esp.Verify(running, {uki.size(), uki.sha256(), place_.running_root_hash});
  };
  absl::Status status = boots();
  if (status.ok()) return status;
  return absl::FailedPreconditionError(
      absl::StrCat("the image that runs may not boot again: ", status.message(), "; ", FileName(*other),
                   " does, and staging would take its place: `osctl rollback` to it, and stage from there"));
}

absl::Status Staging::CheckVersions() const {
  ASSIGN_OR_RETURN(image_file::Version image, image_file::ParseVersion(version()));
  ASSIGN_OR_RETURN(image_file::Version running, image_file::ParseVersion(place_.running_version));
  if (!header_.manifest.minimum_version().empty()) {
    ASSIGN_OR_RETURN(image_file::Version minimum, image_file::ParseVersion(header_.manifest.minimum_version()));
    if (image_file::CompareVersions(running, minimum) < 0) {
      return absl::FailedPreconditionError(absl::StrCat(version(), " may be staged from ",
                                                        header_.manifest.minimum_version(), " on; this is ",
                                                        place_.running_version));
    }
  }
  // Nor may it be older than what the image that runs came from: its data may be of a form that only later ones know.
  std::vector<std::string> passed_over;
  std::optional<image_file::Header> own = store_.Manifest(place_.running_slot, &passed_over);
  if (!own.has_value() || own->manifest.minimum_version().empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(image_file::Version oldest, image_file::ParseVersion(own->manifest.minimum_version()));
  if (image_file::CompareVersions(image, oldest) >= 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(version(), " is older than ", own->manifest.minimum_version(),
                                                    ", the oldest that may follow ", place_.running_version));
}

absl::Status Staging::CheckHistory() const {
  std::vector<std::string> passed_over;
  for (const FailedImage& failure : store_.Failures(&passed_over)) {
    if (failure.root_hash() != header_.manifest.verity().root_hash()) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("this image, ", version(), ", failed on this node: ", failure.reason()));
  }
  return absl::OkStatus();
}

absl::Status Staging::CheckSpace(const Esp& esp, const std::vector<BootEntry>& entries) const {
  ASSIGN_OR_RETURN(SlotDevice slot, SlotDevice::Open(place_.other_device));
  const uint64_t root = header_.part(header_.Find(PartKind::PART_KIND_ROOT)).size();
  if (image_file::Padded(root) > slot.capacity()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the root has ", root, " bytes, slot ", place_.other_slot, " takes ", slot.capacity()));
  }
  uint64_t needed = kEspMargin + header_.part(header_.Find(PartKind::PART_KIND_UKI)).size();
  int loader = header_.Find(PartKind::PART_KIND_LOADER);
  if (loader >= 0) needed += header_.part(loader).size();
  ASSIGN_OR_RETURN(uint64_t available, esp.FreeBytes());
  for (const BootEntry& entry : entries) {
    if (entry.bootable() && !Goes(esp, entries, entry)) continue;  // `prepare` leaves it
    ASSIGN_OR_RETURN(uint64_t size, esp.SizeOf(entry));
    available += size;
  }
  if (needed <= available) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "the image needs ", needed, " bytes on the ESP, which has ", available,
      " besides what the running image takes: take an image with a smaller UKI, or move the node to a larger ESP by "
      "installing it anew"));
}

}  // namespace stele::machined
