#include "machined/install/partition_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/escaping.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "image_file/sha256.h"
#include "machined/config_store.h"
#include "machined/install/loop_mount.h"
#include "machined/install/remove_tree.h"

namespace stele::machined {
namespace {

constexpr uint64_t kFlushEvery = 32 << 20;  // so that progress is what the disk has, and dirty pages stay few
constexpr uint32_t kClusterSize = 4096;
constexpr char kLoaderConf[] = "timeout 0\neditor no\n";
constexpr absl::Duration kFormatTimeout = absl::Minutes(10);

const std::vector<std::string>& Environment() {
  static const std::vector<std::string> environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  return environment;
}

uint64_t RoundUp(uint64_t size) { return (size + 4095) / 4096 * 4096; }

// SHA-256 of a file, hex, in bounded memory.
absl::StatusOr<std::string> FileSha256(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", path);
  image_file::Sha256 sum;
  std::string buffer(1 << 18, '\0');
  while (true) {
    ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus("read ", path);
    if (got == 0) return absl::BytesToHexString(sum.Finish());
    sum.Update(absl::string_view(buffer.data(), got));
  }
}

}  // namespace

uint64_t PartitionWriter::BytesOf(const InstallSource& source) {
  return source.loader.size * 2 + source.uki.size + source.root.size + sizeof kLoaderConf - 1;
}

absl::Status PartitionWriter::WriteSlot() {
  uint64_t start = Planned(kRootALabel).start, unflushed = 0;
  image_file::Sha256 sum;
  absl::Status copied = source_.root.read([&](uint64_t offset, absl::string_view chunk) -> absl::Status {
    if (offset + chunk.size() > source_.root.size) return absl::DataLossError("the root is longer than it says");
    sum.Update(chunk);
    RETURN_IF_ERROR(disk_.Write(start + offset, chunk));
    unflushed += chunk.size();
    if (unflushed >= kFlushEvery) {
      unflushed = 0;
      RETURN_IF_ERROR(disk_.Flush());
    }
    count_(chunk.size());
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(copied);
  root_sha256_ = absl::BytesToHexString(sum.Finish());
  return disk_.Flush();
}

absl::StatusOr<std::string> PartitionWriter::LoaderName() const {
  image_file::Sha256 sum;
  RETURN_IF_ERROR(source_.loader.read([&](uint64_t, absl::string_view chunk) {
    sum.Update(chunk);
    return absl::OkStatus();
  }));
  return absl::StrCat("EFI/systemd/boot-", absl::BytesToHexString(sum.Finish()).substr(0, 8), ".efi");
}

absl::Status PartitionWriter::WriteEspFile(const std::string& root, const std::string& path,
                                           const InstallSource::Part& part) {
  std::string file = absl::StrCat(root, "/", path);
  RETURN_IF_ERROR(MakeDirectories(file.substr(0, file.rfind('/'))));
  UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.ok()) return ErrnoStatus("make ", path);
  image_file::Sha256 sum;
  absl::Status copied = part.read([&](uint64_t, absl::string_view chunk) -> absl::Status {
    sum.Update(chunk);
    RETURN_IF_ERROR(Annotate(WriteAll(fd.get(), chunk), path));
    count_(chunk.size());
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(copied);
  if (::fsync(fd.get()) != 0) return ErrnoStatus("flush ", path);
  esp_files_.emplace_back(path, absl::BytesToHexString(sum.Finish()));
  return absl::OkStatus();
}

absl::Status PartitionWriter::MakeEsp(const PlannedPartition& esp) const {
  std::vector<std::string> argv = options_.make_esp;
  bool fat = options_.esp_type == "vfat";
  if (fat) {
    // Clusters of 4096 bytes on any disk: mkfs.fat would take eight sectors, and of clusters of 32 KiB there are too
    // few for FAT32, by which number firmware tells FAT16 from it.
    uint32_t sector = disk_.sector_size();
    argv.insert(argv.end(), {"-S", absl::StrCat(sector), "-s", absl::StrCat(kClusterSize / sector), "--offset",
                             absl::StrCat(esp.start / sector)});
  } else {
    argv.insert(argv.end(), {"-E", absl::StrCat("offset=", esp.start)});
  }
  argv.insert(argv.end(), {options_.disk, absl::StrCat(esp.size / 1024, fat ? "" : "k")});
  RETURN_IF_ERROR(Annotate(RunChecked(argv, Environment(), kFormatTimeout), "make the file system"));
  return disk_.Flush();
}

absl::Status PartitionWriter::WriteEsp() {
  const PlannedPartition& esp = Planned(kEspLabel);
  ASSIGN_OR_RETURN(loader_name_, LoaderName());
  RETURN_IF_ERROR(MakeEsp(esp));
  LoopRange range = {options_.disk, esp.start, esp.size, disk_.sector_size()};
  ASSIGN_OR_RETURN(LoopMount mount, LoopMount::Create(range, options_.esp_type, Target("esp"), false));
  InstallSource::Part conf = {sizeof kLoaderConf - 1,
                              [](const DiskFile::Sink& sink) { return sink(0, absl::string_view(kLoaderConf)); }};
  esp_files_.clear();
  RETURN_IF_ERROR(WriteEspFile(mount.path(), "loader/loader.conf", conf));
  RETURN_IF_ERROR(WriteEspFile(mount.path(), "EFI/BOOT/BOOTX64.EFI", source_.loader));
  RETURN_IF_ERROR(WriteEspFile(mount.path(), loader_name_, source_.loader));
  RETURN_IF_ERROR(WriteEspFile(mount.path(), "EFI/Linux/stele-1.efi", source_.uki));
  RETURN_IF_ERROR(mount.Close());
  return disk_.Flush();
}

absl::Status PartitionWriter::WriteState() {
  std::string folder = Target("state-files");
  // Left by a run that was killed.
  RETURN_IF_ERROR(RemoveTree(folder));
  std::vector<std::pair<std::string, std::string>> files = options_.state_files;
  files.emplace_back("upgrade/a.manifest", source_.header);
  state_files_.clear();
  for (const auto& [path, bytes] : files) {
    std::string file = absl::StrCat(folder, "/", path);
    RETURN_IF_ERROR(MakeDirectories(file.substr(0, file.rfind('/')), 0700));
    RETURN_IF_ERROR(ReplaceFile(file, bytes, 0600));
    state_files_.emplace_back(path, Sha256Hex(bytes));
  }
  const PlannedPartition& state = Planned(kStateLabel);
  absl::Status made = MakeExt4(options_.disk, state.start, state.size, kStateLabel, options_.tools, folder);
  RETURN_IF_ERROR(RemoveTree(folder));
  RETURN_IF_ERROR(made);
  return disk_.Flush();
}

absl::Status PartitionWriter::WriteData() {
  const PlannedPartition& data = Planned(kDataLabel);
  RETURN_IF_ERROR(MakeExt4(options_.disk, data.start, data.size, kDataLabel, options_.tools));
  return disk_.Flush();
}

absl::Status PartitionWriter::ReadBackSlot() const {
  image_file::Sha256 sum;
  uint64_t start = Planned(kRootALabel).start, left = source_.root.size;
  RETURN_IF_ERROR(disk_.ReadBack(start, RoundUp(source_.root.size), [&](uint64_t, absl::string_view bytes) {
    bytes = bytes.substr(0, left);
    left -= bytes.size();
    sum.Update(bytes);
    return absl::OkStatus();
  }));
  if (absl::BytesToHexString(sum.Finish()) == root_sha256_) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(kRootALabel, ": the disk does not hold what was written"));
}

absl::Status PartitionWriter::ReadBackFiles(const char* label, const std::string& fstype, const Sums& sums) const {
  const PlannedPartition& part = Planned(label);
  LoopRange range = {options_.disk, part.start, part.size, disk_.sector_size()};
  ASSIGN_OR_RETURN(LoopMount mount, LoopMount::Create(range, fstype, Target("read-back"), true));
  for (const auto& [path, expected] : sums) {
    absl::StatusOr<std::string> found = FileSha256(absl::StrCat(mount.path(), "/", path));
    RETURN_IF_ERROR(Annotate(found.status(), label));
    if (*found != expected) return absl::DataLossError(absl::StrCat(label, ": ", path, " is not what was written"));
  }
  return mount.Close();
}

absl::Status PartitionWriter::ReadBackData() const {
  constexpr size_t kMagicAt = 1024 + 56;  // in ext4's superblock
  std::string head;
  RETURN_IF_ERROR(disk_.ReadBack(Planned(kDataLabel).start, 4096, [&](uint64_t, absl::string_view bytes) {
    head = std::string(bytes);
    return absl::OkStatus();
  }));
  if (head.substr(kMagicAt, 2) == "\x53\xef") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(kDataLabel, ": the disk does not hold the file system that was made"));
}

absl::Status PartitionWriter::ReadBack() {
  RETURN_IF_ERROR(disk_.DropPages());
  RETURN_IF_ERROR(ReadBackSlot());
  RETURN_IF_ERROR(ReadBackFiles(kEspLabel, options_.esp_type, esp_files_));
  RETURN_IF_ERROR(ReadBackFiles(kStateLabel, "ext4", state_files_));
  return ReadBackData();
}

}  // namespace stele::machined
