#include "machined/install/disk_selector.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/unique_fd.h"

namespace stele::machined {
namespace {

constexpr uint64_t kGiB = 1 << 30;

// Printable, and without spaces around it: what a disk says of itself is not to be trusted with a terminal.
std::string Clean(std::string text) {
  for (char& c : text) c = absl::ascii_isprint(c) ? c : ' ';
  return std::string(absl::StripAsciiWhitespace(text)).substr(0, 128);
}

// The first of the files that is there and says something.
std::string FirstOf(const std::string& disk, const std::vector<const char*>& files) {
  for (const char* file : files) {
    absl::StatusOr<std::string> text = ReadFile(absl::StrCat(disk, "/", file), 4096);
    if (text.ok() && !Clean(*text).empty()) return Clean(*text);
  }
  return "";
}

// SCSI keeps it in a page of vital product data, behind a header of four bytes.
std::string ScsiSerial(const std::string& disk) {
  absl::StatusOr<std::string> page = ReadFile(disk + "/device/vpd_pg80", 4096);
  return page.ok() && page->size() > 4 ? Clean(page->substr(4)) : "";
}

std::string RealPath(const std::string& path) {
  std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), ::free);
  return real == nullptr ? "" : std::string(real.get());
}

std::string NameOf(const std::string& device) { return device.substr(device.rfind('/') + 1); }

bool Fits(const config::v1::DiskSelector& selector, const std::string& real_path, const DiskInfo& disk) {
  if (!selector.path().empty() && disk.device != real_path && disk.device != selector.path()) return false;
  if (!selector.serial().empty() && disk.serial != selector.serial()) return false;
  if (!selector.wwid().empty() && disk.wwid != selector.wwid()) return false;
  if (!selector.model().empty() &&
      !absl::StrContains(absl::AsciiStrToLower(disk.model), absl::AsciiStrToLower(selector.model()))) {
    return false;
  }
  if (disk.size < selector.min_size() * kGiB) return false;
  return selector.max_size() == 0 || disk.size <= selector.max_size() * kGiB;
}

bool IsEmpty(const config::v1::DiskSelector& selector) {
  return selector.path().empty() && selector.serial().empty() && selector.model().empty() && selector.wwid().empty() &&
         selector.min_size() == 0 && selector.max_size() == 0;
}

std::vector<std::string> Entries(const std::string& folder) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(folder.c_str()), ::closedir);
  while (directory != nullptr) {
    dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

// The disk's folder in sysfs and those of its partitions.
std::vector<std::string> SysFolders(const std::string& sys_block, const std::string& name) {
  std::string disk = absl::StrCat(sys_block, "/", name);
  std::vector<std::string> folders = {disk};
  for (const std::string& entry : Entries(disk)) {
    if (absl::StartsWith(entry, name)) folders.push_back(absl::StrCat(disk, "/", entry));
  }
  return folders;
}

// Where the device with these numbers is mounted; empty: nowhere that we see.
std::string MountPoint(const std::string& numbers) {
  absl::StatusOr<std::string> table = ReadFile("/proc/self/mountinfo", 4 << 20);
  if (!table.ok()) return "";
  for (absl::string_view line : absl::StrSplit(*table, '\n')) {
    std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    if (words.size() > 4 && words[2] == numbers) return std::string(words[4]);
  }
  return "";
}

}  // namespace

std::string DiskInfo::Text() const {
  std::string text = absl::StrCat(device, ", ", absl::StrFormat("%.1f GiB", static_cast<double>(size) / kGiB));
  if (!model.empty()) absl::StrAppend(&text, ", ", model);
  if (!serial.empty()) absl::StrAppend(&text, ", serial ", serial);
  if (!wwid.empty()) absl::StrAppend(&text, ", wwid ", wwid);
  if (read_only) text += ", read-only";
  return text;
}

std::vector<DiskInfo> ListDisks(const std::string& sys_block) {
  std::vector<DiskInfo> disks;
  for (const std::string& device : WholeDisks(sys_block)) {
    std::string folder = absl::StrCat(sys_block, "/", NameOf(device));
    DiskInfo disk = {.device = device,
                     .serial = FirstOf(folder, {"device/serial", "serial"}),
                     .model = FirstOf(folder, {"device/model", "device/name"}),
                     .wwid = FirstOf(folder, {"wwid", "device/wwid", "device/cid"}),
                     .read_only = FirstOf(folder, {"ro"}) == "1"};
    if (disk.serial.empty()) disk.serial = ScsiSerial(folder);
    uint64_t sectors = 0;
    if (!absl::SimpleAtoi(FirstOf(folder, {"size"}), &sectors) || sectors == 0) continue;  // an empty card reader
    disk.size = sectors * 512;
    disks.push_back(std::move(disk));
  }
  return disks;
}

absl::StatusOr<DiskInfo> SelectDisk(const config::v1::DiskSelector& selector, const std::vector<DiskInfo>& disks) {
  if (IsEmpty(selector))
    return absl::InvalidArgumentError("no disk is named: give its path, serial, model, wwid or size");
  std::string real_path = selector.path().empty() ? "" : RealPath(selector.path());
  std::vector<DiskInfo> fitting;
  for (const DiskInfo& disk : disks) {
    if (Fits(selector, real_path, disk)) fitting.push_back(disk);
  }
  if (fitting.size() == 1) return fitting.front();
  const std::vector<DiskInfo>& shown = fitting.empty() ? disks : fitting;
  std::string list =
      absl::StrJoin(shown, "; ", [](std::string* out, const DiskInfo& disk) { out->append(disk.Text()); });
  if (!fitting.empty()) return absl::InvalidArgumentError(absl::StrCat("several disks fit: ", list));
  return absl::InvalidArgumentError(absl::StrCat("no disk fits; there are: ", list.empty() ? "none" : list));
}

absl::Status CheckNotInUse(const std::string& device, const std::string& medium_device, const std::string& sys_block) {
  std::string name = NameOf(device);
  for (const std::string& folder : SysFolders(sys_block, name)) {
    std::string part = absl::StrCat("/dev/", NameOf(folder));
    if (!medium_device.empty() && NameOf(medium_device) == NameOf(folder)) {
      return absl::FailedPreconditionError(absl::StrCat(device, " is what this node runs from"));
    }
    std::vector<std::string> holders = Entries(folder + "/holders");
    if (!holders.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(device, " is in use: ", holders.front(), " stands on ", part));
    }
    std::string mounted = MountPoint(FirstOf(folder, {"dev"}));
    if (!mounted.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(device, " is in use: ", part, " is mounted on ", mounted));
    }
  }
  struct stat info;
  if (::stat(device.c_str(), &info) != 0) return ErrnoStatus("look at ", device);
  if (!S_ISBLK(info.st_mode)) return absl::OkStatus();
  // What is left: mounts in another namespace, swap, somebody who opened it for himself.
  UniqueFd alone(::open(device.c_str(), O_RDONLY | O_CLOEXEC | O_EXCL));
  if (!alone.ok() && errno == EBUSY) return absl::FailedPreconditionError(absl::StrCat(device, " is in use"));
  if (!alone.ok()) return ErrnoStatus("open ", device);
  return absl::OkStatus();
}

std::string DescribeContents(const DiskContents& contents) {
  if (contents.found != "gpt" || contents.partitions.empty()) {
    return contents.found == "data" ? "data of an unknown kind" : contents.found;
  }
  return absl::StrCat("gpt: ", absl::StrJoin(contents.partitions, ", ", [](std::string* out, const Partition& part) {
                        absl::StrAppend(out, part.label.empty() ? absl::StrCat("partition ", part.number) : part.label);
                        if (!part.fstype.empty()) absl::StrAppend(out, " (", part.fstype, ")");
                      }));
}

}  // namespace stele::machined
