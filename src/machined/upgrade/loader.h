// systemd-boot on the ESP. Never written over: another version gets a new name, EFI/systemd/boot-<first 8 of
// its hash>.efi, and boot entries of its own; the one before stays, with its entries behind the new ones.
// Blocks; any thread, one at a time. Inside an EspWindow where it changes something.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "machined/upgrade/esp_folder.h"

namespace stele::machined {

// Makes boot entries for a loader, such as "\EFI\systemd\boot-0123abcd.efi", and puts them first.
using AddBootEntries = std::function<absl::Status(const std::string& loader_path)>;

class Loader {
 public:
  static absl::StatusOr<Loader> Open(const std::string& mount);

  // The path of a loader with this SHA-256 (32 bytes): one of EFI/systemd, else BOOTX64.EFI; empty when there is none.
  absl::StatusOr<std::string> Find(const std::string& sha256, uint64_t size) const;
  absl::StatusOr<bool> Has(const std::string& sha256, uint64_t size) const;
  // The file it is written to; the firmware is never told of that name.
  absl::StatusOr<EspFile> BeginWrite(const std::string& sha256, uint64_t size);
  // Read back and an EFI program. DATA_LOSS otherwise.
  absl::Status VerifyWritten(const std::string& sha256, uint64_t size) const;
  // Gives a verified one its name, then boot entries. Without the entries the loader before is used.
  absl::Status Publish(const std::string& sha256, const AddBootEntries& add_entries);
  // Drops files that were never published, save `keep`'s.
  absl::Status RemoveUnfinished(const std::string& keep_sha256);

 private:
  Loader(EspFolder own, EspFolder fallback) : own_(std::move(own)), fallback_(std::move(fallback)) {}
  EspFolder own_;       // EFI/systemd
  EspFolder fallback_;  // EFI/BOOT
};

}  // namespace stele::machined
