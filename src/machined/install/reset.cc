#include "machined/install/reset.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "image_file/header.h"
#include "machined/install/disk_file.h"
#include "machined/install/disk_note.h"
#include "machined/install/loop_mount.h"
#include "machined/install/remove_tree.h"
#include "machined/storage_mount.h"

namespace stele::machined {
namespace {

using machine::v1::ResetRequest;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kPiece = 64 * kMiB;  // of a thorough wipe: what a kill waits for
constexpr int kMaxKept = 16;
constexpr size_t kMaxPath = 128;
constexpr uint64_t kFirstPartition = kMiB;
// What stays on STELE-STATE: which image a slot holds is no secret and not the node's.
constexpr const char* kManifests[] = {"upgrade/a.manifest", "upgrade/b.manifest"};

// Where a partition is written: its device, or an image file at an offset.
struct Place {
  std::string path;
  uint64_t offset = 0, size = 0;
};

Place PlaceOf(const std::string& disk, const Partition& partition) {
  if (partition.device.empty()) return {disk, partition.start, partition.size};
  return {partition.device, 0, partition.size};
}

// For mounts and small files.
std::string Work(const StorageOptions& options) { return options.root + "/run/stele/reset"; }

std::string CheckKept(const std::string& path) {
  if (path.empty() || path.size() > kMaxPath) return absl::StrCat("a path to keep has 1 to ", kMaxPath, " characters");
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..")
      return absl::StrCat("'", path, "' is no path below /var, such as lib/etcd");
  }
  return path.find('\0') == std::string::npos ? "" : "a path to keep holds a zero";
}

// Tells the disk that nobody needs this any more. Not all can; what must go is overwritten besides.
void Discard(const DiskFile& file, const Place& place) {
  uint64_t range[2] = {place.offset, place.size};
  if (file.is_block()) static_cast<void>(::ioctl(file.fd(), BLKDISCARD, range));
}

absl::Status ZeroAll(const DiskFile& file, const Place& place, const std::string& label,
                     const std::function<void(const std::string&)>& progress) {
  int told = 0;
  for (uint64_t done = 0; done < place.size; done += kPiece) {
    uint64_t range[2] = {place.offset + done, std::min(kPiece, place.size - done)};
    // The kernel's own: write-zeroes where the disk knows them, else pages of zeros.
    if (!file.is_block() || ::ioctl(file.fd(), BLKZEROOUT, range) != 0) RETURN_IF_ERROR(file.Zero(range[0], range[1]));
    int percent = (done + range[1]) * 100 / place.size;
    if (percent / 10 > told) progress(absl::StrCat("overwrite ", label, ": ", (told = percent / 10) * 10, " %"));
  }
  return absl::OkStatus();
}

// What makes a file system of it: its head and end, and every copy of ext4's superblock. The copies begin groups 1 and
// the powers of 3, 5 and 7; a page at each group's start covers them.
absl::Status ZeroHeads(const DiskFile& file, const Place& place) {
  constexpr uint64_t kGroup = 128 * kMiB;  // 32,768 blocks of 4 KiB
  RETURN_IF_ERROR(file.Zero(place.offset, std::min(kMiB, place.size)));
  RETURN_IF_ERROR(file.Zero(place.offset + place.size - std::min(kMiB, place.size), std::min(kMiB, place.size)));
  for (uint64_t at = kGroup; at + 4096 <= place.size; at += kGroup) RETURN_IF_ERROR(file.Zero(place.offset + at, 4096));
  return absl::OkStatus();
}

absl::Status WipePartition(const Place& place, const std::string& label, bool all,
                           const std::function<void(const std::string&)>& progress) {
  ASSIGN_OR_RETURN(DiskFile file, DiskFile::Open(place.path));
  Discard(file, place);
  RETURN_IF_ERROR(all ? ZeroAll(file, place, label, progress) : ZeroHeads(file, place));
  return file.Flush();
}

// The slots' manifests, as far as they can be read, one after the other in kManifests' order.
absl::StatusOr<std::vector<std::string>> ReadManifests(const Place& place, const StorageOptions& options) {
  std::vector<std::string> manifests(std::size(kManifests));
  absl::StatusOr<LoopMount> mount = LoopMount::Create({place.path, place.offset, place.size, 512}, "ext4",
                                                      absl::StrCat(Work(options), "/state"), /*read_only=*/true);
  if (!mount.ok()) return manifests;  // broken already; slots then show no version
  for (size_t i = 0; i < manifests.size(); ++i) {
    manifests[i] = ReadFile(absl::StrCat(mount->path(), "/", kManifests[i]), image_file::kMaxHeader).value_or("");
  }
  RETURN_IF_ERROR(mount->Close());
  return manifests;
}

// Their sizes, a line each, then their bytes.
std::string JoinManifests(const std::vector<std::string>& manifests) {
  std::string text;
  for (const std::string& manifest : manifests) absl::StrAppend(&text, manifest.size(), "\n");
  return absl::StrCat(text, absl::StrJoin(manifests, ""));
}

std::vector<std::string> SplitManifests(absl::string_view text) {
  std::vector<size_t> sizes(std::size(kManifests));
  for (size_t& size : sizes) {
    size_t end = text.find('\n');
    if (end == absl::string_view::npos || !absl::SimpleAtoi(text.substr(0, end), &size)) return {};
    text.remove_prefix(end + 1);
  }
  std::vector<std::string> manifests;
  for (size_t size : sizes) {
    manifests.emplace_back(text.substr(0, size));
    text.remove_prefix(std::min(size, text.size()));
  }
  return manifests;
}

// Puts the manifests into `folder`, and onto the disk as a note, which a power cut during the wiping leaves.
absl::Status SaveManifests(const DiskFile& disk, const Place& place, const std::string& folder,
                           const StorageOptions& options) {
  std::vector<std::string> manifests;
  absl::StatusOr<std::string> noted = ReadDiskNote(disk, DiskNote::kManifests);
  if (noted.ok()) {
    manifests = SplitManifests(*noted);  // the partition may be half wiped
  } else {
    ASSIGN_OR_RETURN(manifests, ReadManifests(place, options));
    RETURN_IF_ERROR(WriteDiskNote(disk, DiskNote::kManifests, JoinManifests(manifests)));
  }
  RETURN_IF_ERROR(RemoveTree(folder));
  RETURN_IF_ERROR(MakeDirectories(folder + "/upgrade", 0700));
  for (size_t i = 0; i < manifests.size(); ++i) {
    if (manifests[i].empty()) continue;
    RETURN_IF_ERROR(ReplaceFile(absl::StrCat(folder, "/", kManifests[i]), manifests[i], 0600));
  }
  return absl::OkStatus();
}

// 256 MiB with the node's keys: always overwritten as a whole.
absl::Status ResetState(const DiskFile& disk, const Place& place, const StorageOptions& options,
                        const std::function<void(const std::string&)>& progress) {
  std::string folder = absl::StrCat(Work(options), "/manifests");
  RETURN_IF_ERROR(SaveManifests(disk, place, folder, options));
  RETURN_IF_ERROR(WipePartition(place, kStateLabel, /*all=*/true, progress));
  absl::Status made = MakeExt4(place.path, place.offset, place.size, kStateLabel, options.tools, folder);
  RETURN_IF_ERROR(RemoveTree(folder));
  RETURN_IF_ERROR(made);
  RETURN_IF_ERROR(disk.Flush());
  return RemoveDiskNote(disk, DiskNote::kManifests);
}

absl::Status EmptyData(const Place& place, const std::vector<std::string>& keep, const StorageOptions& options) {
  // e2fsck loses the offset of a file system in an image when it has replayed the journal, so it gets a device.
  ASSIGN_OR_RETURN(LoopDevice device, LoopDevice::Open({place.path, place.offset, place.size, 512}, false));
  RETURN_IF_ERROR(CheckFilesystem(device.path(), /*force=*/true, options.tools));
  absl::StatusOr<LoopMount> mount = LoopMount::Create({device.path(), 0, place.size, 512}, "ext4",
                                                      absl::StrCat(Work(options), "/data"), /*read_only=*/false);
  if (!mount.ok())
    return absl::DataLossError(absl::StrCat("what is to be kept cannot be read: ", mount.status().message()));
  RETURN_IF_ERROR(EmptyTree(mount->path(), keep));
  return mount->Close();
}

absl::Status ResetData(const Place& place, const ResetRequest& request, const StorageOptions& options,
                       const std::function<void(const std::string&)>& progress) {
  if (request.keep_size() > 0) return EmptyData(place, {request.keep().begin(), request.keep().end()}, options);
  RETURN_IF_ERROR(WipePartition(place, kDataLabel, request.thorough(), progress));
  return MakeExt4(place.path, place.offset, place.size, kDataLabel, options.tools);
}

absl::StatusOr<DiskContents> ProbeOurs(const std::string& disk) {
  ASSIGN_OR_RETURN(DiskContents contents, ProbeDisk(disk));
  bool ours = FindPartition(contents, kStateLabel) != nullptr || FindPartition(contents, kDataLabel) != nullptr;
  for (const Partition& partition : contents.partitions) ours = ours && partition.start >= kFirstPartition;
  if (contents.found == "gpt" && ours) return contents;
  return absl::FailedPreconditionError(absl::StrCat(disk, " is not divided as Stele divides a disk"));
}

}  // namespace

absl::Status CheckReset(const ResetRequest& request) {
  if (!request.state() && !request.data())
    return absl::InvalidArgumentError("nothing to reset: ask for state, data or both");
  if (request.keep_size() > 0 && !request.data()) return absl::InvalidArgumentError("keep goes with data");
  if (request.keep_size() > 0 && request.thorough()) {
    return absl::InvalidArgumentError("keep and thorough exclude each other: what stays cannot be overwritten");
  }
  if (request.keep_size() > kMaxKept)
    return absl::InvalidArgumentError(absl::StrCat("at most ", kMaxKept, " paths can be kept"));
  for (const std::string& path : request.keep()) {
    if (std::string wrong = CheckKept(path); !wrong.empty()) return absl::InvalidArgumentError(wrong);
  }
  return absl::OkStatus();
}

std::vector<std::string> PlanReset(const ResetRequest& request) {
  std::vector<std::string> plan = {"note the reset on the disk", "reboot"};
  if (request.data() && request.keep_size() > 0) {
    plan.push_back(absl::StrCat("delete everything in /var except ", absl::StrJoin(request.keep(), ", ")));
  } else if (request.data()) {
    plan.push_back(absl::StrCat(request.thorough() ? "overwrite all of " : "wipe ", kDataLabel, " and format it"));
  }
  if (request.state()) plan.push_back(absl::StrCat("overwrite ", kStateLabel, " and format it"));
  plan.push_back(request.then() == machine::v1::RESET_END_POWER_OFF ? "power off" : "boot on");
  return plan;
}

absl::Status WriteResetWish(const std::string& path, const ResetWish& wish) {
  RETURN_IF_ERROR(CheckReset(wish.request));
  RETURN_IF_ERROR(ProbeOurs(path).status());
  ASSIGN_OR_RETURN(DiskFile disk, DiskFile::Open(path));
  // The name's first line ends it: what comes from a certificate is cut, not trusted.
  std::string asked_by = wish.asked_by.substr(0, 256);
  std::replace(asked_by.begin(), asked_by.end(), '\n', ' ');
  return WriteDiskNote(disk, DiskNote::kReset, absl::StrCat(asked_by, "\n", wish.request.SerializeAsString()));
}

absl::StatusOr<std::optional<ResetWish>> ReadResetWish(const std::string& disk) {
  absl::StatusOr<std::string> note = ReadDiskNote(disk, DiskNote::kReset);
  if (note.status().code() == absl::StatusCode::kNotFound) return std::optional<ResetWish>();
  RETURN_IF_ERROR(note.status());
  size_t end = note->find('\n');
  ResetWish wish;
  bool good =
      end != std::string::npos && wish.request.ParseFromString(note->substr(end + 1)) && CheckReset(wish.request).ok();
  if (!good) return absl::DataLossError(absl::StrCat(disk, " asks for a reset that this version does not understand"));
  wish.asked_by = note->substr(0, end);
  return std::optional<ResetWish>(std::move(wish));
}

absl::Status CarryOutReset(const std::string& path, const ResetWish& wish, const StorageOptions& options,
                           const std::function<void(const std::string&)>& progress) {
  for (const char* name : {"state", "data"}) UnmountLeftover(absl::StrCat(Work(options), "/", name));
  for (const auto& [asked, target] :
       {std::pair(wish.request.state(), options.state_target), std::pair(wish.request.data(), options.data_target)}) {
    ASSIGN_OR_RETURN(bool mounted, IsMounted(options.root + target));
    if (asked && mounted)
      return absl::FailedPreconditionError(
          absl::StrCat("a reset is asked for, and ", target, " is in use: reboot first"));
  }
  ASSIGN_OR_RETURN(DiskContents contents, ProbeOurs(path));
  const Partition* data = FindPartition(contents, kDataLabel);
  const Partition* state = FindPartition(contents, kStateLabel);
  ASSIGN_OR_RETURN(DiskFile disk, DiskFile::Open(path));
  if (wish.request.data() && data != nullptr) {
    progress(absl::StrCat("reset asked by ", wish.asked_by, ": ", kDataLabel));
    RETURN_IF_ERROR(
        Annotate(ResetData(PlaceOf(path, *data), wish.request, options, progress), absl::StrCat("reset ", kDataLabel)));
  }
  if (wish.request.state() && state != nullptr) {
    progress(absl::StrCat("reset asked by ", wish.asked_by, ": ", kStateLabel));
    RETURN_IF_ERROR(
        Annotate(ResetState(disk, PlaceOf(path, *state), options, progress), absl::StrCat("reset ", kStateLabel)));
  }
  RETURN_IF_ERROR(disk.Flush());
  return RemoveDiskNote(disk, DiskNote::kReset);
}

}  // namespace stele::machined
