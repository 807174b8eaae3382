// Orders that are known to lose files, or a table, at a power cut. They stay here, and the tests ask that bad states
// are found in them: a harness that finds none in these finds none at all.

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdio>

#include "base/file.h"
#include "lab_machine.h"
#include "machined/install/disk_note.h"
#include "machined/install/gpt_table.h"

namespace stele::lab {
namespace {

absl::Status MountEsp(const Machine& machine) {
  if (::mount(machine.esp_device().c_str(), kEsp, "vfat", 0, nullptr) != 0) return ErrnoStatus("mount the ESP");
  return absl::OkStatus();
}

}  // namespace

// rename, fsync of the folder, syncfs: without fsync of the file the folder's sector is durable with a new name whose
// size and first cluster are 0, and the old name is gone.
absl::Status WrongRename(Machine& machine, const std::string& from, const std::string& to) {
  RETURN_IF_ERROR(MountEsp(machine));
  UniqueFd folder(::open(absl::StrCat(kEsp, "/EFI/Linux").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok()) return ErrnoStatus("open EFI/Linux");
  RETURN_IF_ERROR(machine.Mark("wrong"));
  if (::renameat(folder.get(), from.c_str(), folder.get(), to.c_str()) != 0) return ErrnoStatus("rename ", from);
  if (::fsync(folder.get()) != 0) return ErrnoStatus("fsync EFI/Linux");
  if (::syncfs(folder.get()) != 0) return ErrnoStatus("sync the ESP");
  return machine.Mark("wrong-done");
}

// The loader and the image rewritten in place, synced by the unmount.
absl::Status WrongLoader(Machine& machine) {
  RETURN_IF_ERROR(MountEsp(machine));
  ASSIGN_OR_RETURN(std::string loader, Payload("loader.efi"));
  ASSIGN_OR_RETURN(std::string uki, Payload("image.efi"));
  RETURN_IF_ERROR(machine.Mark("wrong"));
  struct {
    const char* name;
    const std::string& data;
  } files[] = {
      {"EFI/Linux/stele-3.efi", uki}, {"EFI/systemd/systemd-bootx64.efi", loader}, {"EFI/BOOT/BOOTX64.EFI", loader}};
  for (const auto& [name, data] : files) {
    UniqueFd file(::open(absl::StrCat(kEsp, "/", name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file.ok()) return ErrnoStatus("open ", name);
    RETURN_IF_ERROR(WriteAll(file.get(), data));
  }
  if (::umount2(kEsp, 0) != 0) return ErrnoStatus("unmount the ESP");
  return machine.Mark("wrong-done");
}

// The copy first and flushed, then header and entries where they were: torn, the first table is none, and the kernel
// takes no copy. What is written is what the product makes of such a disk, in a file.
absl::Status WrongGrow(Machine& machine) {
  constexpr char kScratch[] = "/run/grown";
  constexpr uint64_t kEnd = 1 << 20;
  ASSIGN_OR_RETURN(machined::DiskFile disk, machined::DiskFile::Open(machine.disk()));
  UniqueFd made(::open(kScratch, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!made.ok() || ::ftruncate(made.get(), disk.size()) != 0) return ErrnoStatus("make ", kScratch);
  ASSIGN_OR_RETURN(machined::DiskFile scratch, machined::DiskFile::Open(kScratch));
  ASSIGN_OR_RETURN(std::string head, disk.Read(0, machined::kDiskNotesStart));
  RETURN_IF_ERROR(scratch.Write(0, head));
  RETURN_IF_ERROR(machined::GrowLastPartition(scratch, machined::kDataLabel).status());
  RETURN_IF_ERROR(machine.Mark("wrong"));
  ASSIGN_OR_RETURN(std::string copy, scratch.Read(disk.size() - kEnd, kEnd));
  RETURN_IF_ERROR(disk.Write(disk.size() - kEnd, copy));
  RETURN_IF_ERROR(disk.Flush());
  ASSIGN_OR_RETURN(head, scratch.Read(0, machined::kDiskNotesStart));
  RETURN_IF_ERROR(disk.Write(0, head));
  RETURN_IF_ERROR(disk.Flush());
  return machine.Mark("wrong-done");
}

}  // namespace stele::lab
