// For tests: an image in memory, and an installation onto a file. This kernel may have no vfat: where it cannot be
// mounted the ESP is an ext4, with everything else as it is on a node.
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "machined/config_store.h"
#include "machined/install/installer.h"
#include "machined/storage_fixture.h"

namespace stele::machined {

// A mount namespace of this process's own, and loop devices: what an installation onto a file needs.
inline bool MayMountImages() {
  return ::geteuid() == 0 && ::unshare(CLONE_NEWNS) == 0 &&
         ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 && ::access("/dev/loop-control", W_OK) == 0;
}

inline std::string Noise(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return bytes;
}

inline InstallSource::Part MemoryPart(std::string bytes, size_t chunk = 1 << 20) {
  auto kept = std::make_shared<const std::string>(std::move(bytes));
  return {kept->size(), [kept, chunk](const DiskFile::Sink& sink) {
            for (size_t at = 0; at < kept->size(); at += chunk) {
              RETURN_IF_ERROR(sink(at, absl::string_view(*kept).substr(at, chunk)));
            }
            return absl::OkStatus();
          }};
}

inline std::string TestRoot() { return Noise((6 << 20) + 4096, 1); }
inline std::string TestUki() { return Noise((3 << 20) + 77, 2); }
inline std::string TestLoader() { return Noise(100'001, 3); }

inline InstallSource TestSource() {
  InstallSource source = {.version = "0.1.0", .header = "STELEIMG header"};
  source.root = MemoryPart(TestRoot());
  source.uki = MemoryPart(TestUki());
  source.loader = MemoryPart(TestLoader());
  return source;
}

inline InstallOptions TestOptions(const std::string& disk, const std::string& work) {
  InstallOptions options = {.disk = disk, .tools = Tools(), .work = work};
  options.make_esp = {"/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096"};
  options.esp_type = "ext4";
  options.state_files = {{"config/generation-00000001.yaml", "a configuration"}};
  return options;
}

// What is wrong with a disk that should carry all of it; empty: nothing.
inline std::string WhatIsMissing(const std::string& disk, const std::string& work);

}  // namespace stele::machined

#include "machined/install/loop_mount.h"

namespace stele::machined {

inline std::string MissingFile(const std::string& disk, const Partition& part, const std::string& target,
                               const std::string& path, const std::string& wanted) {
  absl::StatusOr<LoopMount> mount = LoopMount::Create({disk, part.start, part.size, 512}, "ext4", target, true);
  if (!mount.ok()) return std::string(mount.status().message());
  absl::StatusOr<std::string> found = ReadFile(absl::StrCat(target, "/", path), 64 << 20);
  if (!found.ok()) return std::string(found.status().message());
  return *found == wanted ? "" : absl::StrCat(path, " differs");
}

inline std::string WhatIsMissing(const std::string& disk, const std::string& work) {
  absl::StatusOr<DiskContents> contents = ProbeDisk(disk);
  if (!contents.ok()) return std::string(contents.status().message());
  if (!IsInstalled(*contents)) return absl::StrCat("not installed: ", contents->found);
  const Partition& esp = *FindPartition(*contents, kEspLabel);
  const Partition& state = *FindPartition(*contents, kStateLabel);
  DiskFile file = *DiskFile::Open(disk);
  std::string root = TestRoot();
  if (*file.Read(FindPartition(*contents, kRootALabel)->start, root.size()) != root) return "the root slot differs";
  if (FindPartition(*contents, kDataLabel)->fstype != "ext4") return "STELE-DATA has no file system";
  std::string loader = TestLoader(), name = absl::StrCat("EFI/systemd/boot-", Sha256Hex(loader).substr(0, 8), ".efi");
  struct {
    const Partition& part;
    std::string path, wanted;
  } files[] = {{esp, "EFI/Linux/stele-1.efi", TestUki()},
               {esp, "EFI/BOOT/BOOTX64.EFI", loader},
               {esp, name, loader},
               {esp, "loader/loader.conf", "timeout 0\neditor no\n"},
               {state, "config/generation-00000001.yaml", "a configuration"},
               {state, "upgrade/a.manifest", "STELEIMG header"}};
  for (const auto& [part, path, wanted] : files) {
    std::string missing = MissingFile(disk, part, work + "/check", path, wanted);
    if (!missing.empty()) return missing;
  }
  return "";
}

}  // namespace stele::machined
