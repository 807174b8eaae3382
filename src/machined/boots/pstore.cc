#include "machined/boots/pstore.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/match.h"
#include "base/file.h"
#include "machined/storage_mount.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxText = 64 << 10;
constexpr size_t kMaxFiles = 256;

}  // namespace

absl::StatusOr<PstoreRecords> ReadPstore(const std::string& folder) {
  PstoreRecords records;
  if (::access(folder.c_str(), F_OK) != 0) return records;
  if (absl::StartsWith(folder, "/sys/")) {
    ASSIGN_OR_RETURN(bool mounted, IsMounted(folder));
    if (!mounted) RETURN_IF_ERROR(MountFilesystem("pstore", folder, "pstore", "nosuid,nodev,noexec"));
  }
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(folder.c_str()), ::closedir);
  if (directory == nullptr) return ErrnoStatus("list ", folder);
  std::vector<std::string> names;
  while (dirent* entry = ::readdir(directory.get())) {
    // dmesg-efi-170…, dmesg-ramoops-0: the kernel's log. The console's and user space's are not kept.
    if (absl::StartsWith(entry->d_name, "dmesg-") && names.size() < kMaxFiles) names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  // Each file is a part with a head such as "Panic#1 Part2"; part 1 is the newest end of the log, and so are low
  // numbers.
  std::reverse(names.begin(), names.end());
  for (const std::string& name : names) {
    std::string path = absl::StrCat(folder, "/", name);
    absl::StatusOr<std::string> text = ReadFile(path, kMaxText);
    records.files.push_back(path);
    if (!text.ok()) continue;  // a record that cannot be unpacked says nothing, and goes with the others
    records.text += *text;
    if (!absl::EndsWith(records.text, "\n")) records.text += '\n';
  }
  if (records.text.size() > kMaxText) records.text.erase(0, records.text.size() - kMaxText);
  // Firmware may give back any bytes; what is kept is text, which a proto's string must be.
  for (char& c : records.text) {
    if (static_cast<unsigned char>(c) >= 0x80 || (c < ' ' && c != '\n' && c != '\t')) c = '?';
  }
  return records;
}

absl::Status ErasePstore(const PstoreRecords& records) {
  for (const std::string& file : records.files) {
    if (::unlink(file.c_str()) != 0 && errno != ENOENT) return ErrnoStatus("delete ", file);
  }
  return absl::OkStatus();
}

}  // namespace stele::machined
