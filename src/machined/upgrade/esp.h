// The UKIs on the EFI system partition: EFI/Linux (esp_folder.h tells how it is written).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "machined/upgrade/boot_entry.h"
#include "machined/upgrade/esp_folder.h"

namespace stele::machined {

inline constexpr char kLinuxFolder[] = "EFI/Linux";

// What a written UKI must be.
struct ExpectedFile {
  uint64_t size = 0;
  // 32 bytes; none where every byte was compared already, and need not be read again.
  std::optional<std::string> sha256;
  std::string root_hash;  // hex: what .cmdline must name; "" does not ask
};

class Esp {
 public:
  // `mount` is where the ESP is mounted, or any folder with EFI/Linux in it.
  static absl::StatusOr<Esp> Open(const std::string& mount);

  // Ours, by name; what has other names is not ours and is left alone.
  absl::StatusOr<std::vector<BootEntry>> List() const;

  // Bytes that can be written beside what is there.
  absl::StatusOr<uint64_t> FreeBytes() const { return folder_.FreeBytes(); }

  // Makes `stele-<number>.new`, or goes on with one of that size. RESOURCE_EXHAUSTED without space.
  absl::StatusOr<EspFile> BeginWrite(uint64_t number, uint64_t size) {
    return folder_.BeginWrite(FileName({.number = number, .kind = BootEntry::Kind::kWritten}), size);
  }

  // Reads `entry`'s file from the disk, past the cache: size, SHA-256, PE sections .linux .initrd .cmdline
  // .osrel with something in each, the root hash. DATA_LOSS when it is not what is expected.
  absl::Status Verify(const BootEntry& entry, const ExpectedFile& expected) const;
  absl::Status VerifyWritten(uint64_t number, const ExpectedFile& expected) const {
    return Verify({.number = number, .kind = BootEntry::Kind::kWritten}, expected);
  }
  absl::StatusOr<uint64_t> SizeOf(const BootEntry& entry) const;
  // The root hash that a UKI's command line names, hex.
  absl::StatusOr<std::string> RootHashIn(const BootEntry& entry) const;

  // The renames. Each answers OK when its end is so already: a step that was cut is done again.
  //   `.new` → `+3.efi`, after VerifyWritten; where both are one file already the `.new` is set aside
  absl::Status Activate(uint64_t number);
  //   `+x-y.efi` → `.efi`; where both are there already the counted one is set aside
  absl::Status Bless(uint64_t number);
  //   `+x-y.efi` → `+0-3.efi`
  absl::Status MarkFailed(uint64_t number);
  //   a good or failed entry that is to be tried under a new number
  absl::Status Retry(const BootEntry& entry, uint64_t number);

  // Unlinks it; see EspFolder::Remove.
  absl::Status Remove(const BootEntry& entry) { return folder_.Remove(FileName(entry)); }
  // See EspFolder::SetAside.
  absl::Status SetAside(const BootEntry& entry) { return folder_.SetAside(FileName(entry)); }
  absl::Status RemoveOrSetAside(const BootEntry& entry) { return folder_.RemoveOrSetAside(FileName(entry)); }

 private:
  explicit Esp(EspFolder folder) : folder_(std::move(folder)) {}
  absl::StatusOr<BootEntry> FindBootable(uint64_t number) const;
  absl::Status Rename(const BootEntry& from, const BootEntry& to) {
    return folder_.Rename(FileName(from), FileName(to));
  }

  EspFolder folder_;
};

}  // namespace stele::machined
