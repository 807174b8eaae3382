#include "machined/upgrade/kexec.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "base/file.h"
#include "machined/upgrade/activation.h"
#include "machined/upgrade/direct_io.h"
#include "machined/upgrade/esp.h"
#include "machined/upgrade/pe_image.h"

namespace stele::machined {
namespace {

// A section of the file, as a file of its own in memory: what kexec_file_load takes.
absl::StatusOr<UniqueFd> CopySection(int uki, const PeSection& section, const char* name) {
  UniqueFd copy(::memfd_create(name, MFD_CLOEXEC));
  if (!copy.ok()) return ErrnoStatus("make a memory file for ", name);
  std::string bytes;
  for (uint64_t done = 0; done < section.size; done += bytes.size()) {
    bytes.resize(std::min<uint64_t>(section.size - done, 1 << 20));
    ssize_t got = ::pread(uki, bytes.data(), bytes.size(), static_cast<off_t>(section.offset + done));
    if (got <= 0) return ErrnoStatus("read section ", name);
    bytes.resize(got);
    RETURN_IF_ERROR(WriteAll(copy.get(), bytes));
  }
  // The kernel reads no file that somebody has open for writing.
  UniqueFd readable(::open(absl::StrCat("/proc/self/fd/", copy.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!readable.ok()) return ErrnoStatus("open the memory file for ", name);
  return readable;
}

absl::StatusOr<std::string> ReadSection(int uki, const PeSection& section, const char* name) {
  std::string text(std::min<uint64_t>(section.size, 16 * 1024), '\0');
  if (::pread(uki, text.data(), text.size(), static_cast<off_t>(section.offset)) != static_cast<ssize_t>(text.size()))
    return ErrnoStatus("read section ", name);
  return std::string(text.c_str());  // up to a NUL
}

absl::Status Load(int kernel, int initramfs, const std::string& command_line) {
  // Its length counts the NUL.
  if (::syscall(SYS_kexec_file_load, kernel, initramfs, command_line.size() + 1, command_line.c_str(), 0UL) == 0)
    return absl::OkStatus();
  // How a locked-down kernel and its keyrings say that they know nobody who signed this one.
  if (errno == EPERM || errno == ENOKEY || errno == EKEYREJECTED) {
    return absl::FailedPreconditionError(
        "the kernel starts none whose signature it cannot check (lockdown), and the one who signed this kernel is not "
        "among the keys of the firmware (db): reboot without kexec");
  }
  return ErrnoStatus("load the kernel");
}

}  // namespace

absl::Status MayKexec(const Survey& survey, bool on_trial) {
  if (on_trial) {
    return absl::FailedPreconditionError("the image that runs is on trial, which counts boots through the firmware");
  }
  if (!survey.running.has_value() || survey.running->kind != BootEntry::Kind::kGood)
    return absl::FailedPreconditionError("the ESP does not hold the image that runs as a good one");
  std::vector<BootEntry> entries;
  for (const Survey::Entry& entry : survey.entries) entries.push_back(entry.entry);
  std::optional<BootEntry> next = NextBoot(entries);
  if (next.has_value() && *next != *survey.running) {
    return absl::FailedPreconditionError(absl::StrCat("the next boot takes another image, ", FileName(*next),
                                                      ", which has to prove itself through the firmware"));
  }
  if (survey.record.state() == resource::v1::UPGRADE_STATE_DRAINING) {
    return absl::FailedPreconditionError(
        absl::StrCat("the node is being drained for ", survey.record.version(), ", which reboots it itself"));
  }
  return absl::OkStatus();
}

absl::Status LoadRunningKernel(const UpgradePlace& place, const UpgradeStore& store, bool validate_only) {
  std::vector<std::string> passed_over;
  std::optional<image_file::Header> header = store.Manifest(place.running_slot, &passed_over);
  if (!header.has_value() || absl::BytesToHexString(header->manifest.verity().root_hash()) != place.running_root_hash) {
    return absl::FailedPreconditionError(
        absl::StrCat("the manifest of the image in slot ", place.running_slot, " is not known: reboot without kexec"));
  }
  ASSIGN_OR_RETURN(Esp esp, Esp::Open(place.esp.target()));
  ASSIGN_OR_RETURN(BootEntry running, FindRunning(place, esp));
  const image::v1::Part& part = header->part(header->Find(image::v1::PartKind::PART_KIND_UKI));
  RETURN_IF_ERROR(esp.Verify(running, {part.size(), part.sha256(), place.running_root_hash}));
  if (validate_only) return absl::OkStatus();
  std::string path = absl::StrCat(place.esp.target(), "/", kLinuxFolder, "/", FileName(running));
  UniqueFd uki(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!uki.ok()) return ErrnoStatus("open ", path);
  std::string head(std::min<uint64_t>(part.size(), kPeHeadSize), '\0');
  if (::pread(uki.get(), head.data(), head.size(), 0) != static_cast<ssize_t>(head.size()))
    return ErrnoStatus("read ", path);
  ASSIGN_OR_RETURN(auto sections, ReadPeSections(head, part.size()));
  ASSIGN_OR_RETURN(UniqueFd kernel, CopySection(uki.get(), sections[".linux"], ".linux"));
  ASSIGN_OR_RETURN(UniqueFd initramfs, CopySection(uki.get(), sections[".initrd"], ".initrd"));
  ASSIGN_OR_RETURN(std::string command_line, ReadSection(uki.get(), sections[".cmdline"], ".cmdline"));
  DropCache(uki.get());
  return Load(kernel.get(), initramfs.get(), absl::StrCat(absl::StripAsciiWhitespace(command_line), " ", kKexecWord));
}

}  // namespace stele::machined
