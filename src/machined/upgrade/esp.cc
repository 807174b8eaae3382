#include "machined/upgrade/esp.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "machined/upgrade/direct_io.h"
#include "machined/upgrade/pe_image.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxCommandLine = 16 * 1024;

// The root hash that the command line names, once all sections were found.
absl::StatusOr<std::string> CheckSections(int fd, uint64_t size) {
  DirectBuffer buffer;
  std::string head;
  auto keep = [&head](absl::string_view bytes) {
    head.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ReadDirect(fd, 0, std::min<uint64_t>(size, kPeHeadSize), buffer, keep));
  ASSIGN_OR_RETURN(auto sections, ReadPeSections(head, size));
  for (const char* name : {".linux", ".initrd", ".cmdline", ".osrel"}) {
    auto found = sections.find(name);
    if (found == sections.end() || found->second.size == 0) {
      return absl::DataLossError(absl::StrCat("it has no section ", name));
    }
  }
  PeSection cmdline = sections[".cmdline"];
  if (cmdline.size > kMaxCommandLine) return absl::DataLossError("its command line is too long");
  // From the block before, since past the cache only whole blocks are read.
  uint64_t begin = cmdline.offset / kDirectAlign * kDirectAlign;
  head.clear();
  RETURN_IF_ERROR(ReadDirect(fd, begin, cmdline.offset + cmdline.size - begin, buffer, keep));
  return RootHashOf(absl::string_view(head).substr(cmdline.offset - begin));
}

}  // namespace

absl::StatusOr<Esp> Esp::Open(const std::string& mount) {
  ASSIGN_OR_RETURN(EspFolder folder, EspFolder::Open(mount, kLinuxFolder));
  return Esp(std::move(folder));
}

absl::StatusOr<std::vector<BootEntry>> Esp::List() const {
  ASSIGN_OR_RETURN(std::vector<std::string> names, folder_.Names());
  std::vector<BootEntry> entries;
  for (const std::string& name : names) {
    if (std::optional<BootEntry> entry = ParseBootEntry(name)) entries.push_back(*entry);
  }
  return entries;
}

absl::StatusOr<uint64_t> Esp::SizeOf(const BootEntry& entry) const {
  struct stat info;
  std::string name = FileName(entry);
  if (::fstatat(folder_.fd(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return ErrnoStatus("stat ", name);
  return info.st_size;
}

absl::Status Esp::Verify(const BootEntry& entry, const ExpectedFile& expected) const {
  std::string name = FileName(entry);
  RETURN_IF_ERROR(expected.sha256.has_value() ? folder_.ReadBack(name, expected.size, *expected.sha256)
                                              : folder_.CheckSize(name, expected.size));
  ASSIGN_OR_RETURN(std::string root_hash, RootHashIn(entry));
  if (!expected.root_hash.empty() && root_hash != expected.root_hash) {
    return absl::DataLossError(
        absl::StrCat(name, " names the root '", root_hash, "' instead of '", expected.root_hash, "'"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Esp::RootHashIn(const BootEntry& entry) const {
  std::string name = FileName(entry);
  ASSIGN_OR_RETURN(UniqueFd fd, OpenDirect(folder_.fd(), name, O_RDONLY));
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus("stat ", name);
  absl::StatusOr<std::string> root_hash = CheckSections(fd.get(), info.st_size);
  RETURN_IF_ERROR(Annotate(root_hash.status(), name));
  return root_hash;
}

absl::Status Esp::Activate(uint64_t number) {
  BootEntry from = {.number = number, .kind = BootEntry::Kind::kWritten};
  BootEntry to = {.number = number, .kind = BootEntry::Kind::kCounted, .left = kTrialTries};
  absl::Status renamed = Rename(from, to);
  if (!absl::IsAlreadyExists(renamed)) return renamed;
  // A cut in this very rename left both names.
  ASSIGN_OR_RETURN(std::string written_hash, RootHashIn(from));
  ASSIGN_OR_RETURN(std::string counted_hash, RootHashIn(to));
  return written_hash == counted_hash ? SetAside(from) : renamed;
}

absl::Status Esp::Bless(uint64_t number) {
  ASSIGN_OR_RETURN(BootEntry entry, FindBootable(number));
  const BootEntry good = {.number = number};
  ASSIGN_OR_RETURN(std::vector<BootEntry> entries, List());
  if (entry == good || std::find(entries.begin(), entries.end(), good) == entries.end()) return Rename(entry, good);
  // A cut in this very rename left both names; a number is never given twice.
  ASSIGN_OR_RETURN(std::string counted_hash, RootHashIn(entry));
  ASSIGN_OR_RETURN(std::string good_hash, RootHashIn(good));
  if (counted_hash != good_hash) return absl::AlreadyExistsError(absl::StrCat(FileName(good), " is another image"));
  return SetAside(entry);
}

absl::Status Esp::MarkFailed(uint64_t number) {
  ASSIGN_OR_RETURN(BootEntry entry, FindBootable(number));
  return Rename(entry, {.number = number, .kind = BootEntry::Kind::kCounted, .left = 0, .done = kTrialTries});
}

absl::Status Esp::Retry(const BootEntry& entry, uint64_t number) {
  return Rename(entry, {.number = number, .kind = BootEntry::Kind::kCounted, .left = kTrialTries});
}

absl::StatusOr<BootEntry> Esp::FindBootable(uint64_t number) const {
  ASSIGN_OR_RETURN(std::vector<BootEntry> entries, List());
  for (const BootEntry& entry : InLoaderOrder(entries)) {
    if (entry.number == number) return entry;
  }
  return absl::NotFoundError(absl::StrCat("the ESP has no image number ", number));
}

}  // namespace stele::machined
