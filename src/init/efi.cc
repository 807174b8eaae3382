#include "init/efi.h"

#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "init/mounts.h"

namespace stele::init {
namespace {

constexpr char kLoaderGuid[] = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
constexpr size_t kMaxVariable = 4096;
constexpr size_t kAttributes = 4;  // before the value
constexpr MountSpec kVariables = {"efivarfs", kEfiVariables, "efivarfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
                                  nullptr};

// "stele-7" of \EFI\Linux\stele-7+2-1.efi, lower case: what an entry is called however often it was tried.
std::string NameWithoutTries(absl::string_view path) {
  path = path.substr(path.find_last_of("\\/") + 1);  // npos + 1 is 0
  std::string name(path.substr(0, std::min(path.find('+'), path.rfind(".efi"))));
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return name;
}

// The loader leaves LoaderBootCountPath alone when it starts an entry without tries. So when one that cannot be loaded
// has used its tries up and the good one is started within the same power-on, the variable still names the bad one.
bool IsOfAnotherEntry(const std::string& counted, const std::string& directory) {
  absl::StatusOr<std::string> selected = ReadLoaderVariable("LoaderEntrySelected", directory);
  return selected.ok() && !selected->empty() && NameWithoutTries(*selected) != NameWithoutTries(counted);
}

}  // namespace

absl::Status MountEfiVariables() {
  if (::access(kEfiVariables, F_OK) != 0) return ErrnoStatus("look at ", kEfiVariables);
  return MountUnlessMounted(kVariables);
}

absl::StatusOr<std::string> ReadLoaderVariable(const char* name, const std::string& directory) {
  ASSIGN_OR_RETURN(std::string raw, ReadFile(absl::StrCat(directory, "/", name, "-", kLoaderGuid), kMaxVariable));
  std::string text;
  for (size_t at = kAttributes; at + 1 < raw.size(); at += 2) {  // UTF-16, little-endian
    auto low = static_cast<unsigned char>(raw[at]), high = static_cast<unsigned char>(raw[at + 1]);
    if (low == 0 && high == 0) break;
    text.push_back(high == 0 && low >= ' ' && low < 127 ? static_cast<char>(low) : '?');
  }
  return text;
}

void ReadLoaderFacts(BootFacts& facts, bool kexec, const std::string& directory) {
  if (absl::StatusOr<std::string> uuid = ReadLoaderVariable("LoaderDevicePartUUID", directory); uuid.ok()) {
    facts.loader_partition = *std::move(uuid);
    for (char& c : facts.loader_partition) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    }
  }
  if (kexec) return;
  if (absl::StatusOr<std::string> entry = ReadLoaderVariable("LoaderBootCountPath", directory); entry.ok()) {
    facts.entry = IsOfAnotherEntry(*entry, directory) ? "" : *std::move(entry);
  }
  facts.trial = IsCountedEntry(facts.entry);
}

}  // namespace stele::init
