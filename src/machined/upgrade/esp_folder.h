// A folder of the EFI system partition, and the only ways in which a file of it is changed.
//
// vfat and power cuts decide how (measured: 11 of 276 crash states lost a UKI in the usual order, none in
// this one):
//  - A file is written under a name that nothing boots, and gets its own only once it was read back from the
//    disk and found whole.
//  - A change of name is rename, fsync of the file, fsync of the folder, syncfs, and then the folder is read
//    again. fsync of the folder alone may make a name durable whose size and first cluster are still 0.
//  - No name is ever written over, and none is unlinked that shares its clusters with another.
// Works on any Linux folder. Blocks; any thread, one at a time. The file system must be writable: on a node
// an EspWindow (esp_mount.h) is open around every call that changes something.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "machined/upgrade/stage_target.h"

namespace stele::machined {

// A file that is being written: as long as it will be from the start, so that it cannot run out of space later.
class EspFile : public StageTarget {
 public:
  // `direct` is the same file, opened with O_DIRECT (direct_io.h).
  EspFile(UniqueFd fd, UniqueFd direct, std::string name, uint64_t size)
      : fd_(std::move(fd)), direct_(std::move(direct)), name_(std::move(name)), size_(size) {}
  absl::StatusOr<uint64_t> MatchingPrefix(const PartHashes& part, const KeepGoing& keep_going) const override;
  absl::Status Write(uint64_t offset, absl::string_view bytes) override;
  absl::Status Flush() override;
  absl::Status ReadBack(uint64_t begin, uint64_t end, const ReadSink& sink) override;

 private:
  UniqueFd fd_;
  UniqueFd direct_;
  std::string name_;
  uint64_t size_;
};

class EspFolder {
 public:
  // `path` is below `mount`, such as "EFI/Linux"; it must be there.
  static absl::StatusOr<EspFolder> Open(const std::string& mount, const std::string& path);

  int fd() const { return folder_.get(); }
  // Of files, sorted.
  absl::StatusOr<std::vector<std::string>> Names() const;
  // Bytes that can be written beside what is there.
  absl::StatusOr<uint64_t> FreeBytes() const;
  // Makes the file, or goes on with one that was begun. RESOURCE_EXHAUSTED without space.
  absl::StatusOr<EspFile> BeginWrite(const std::string& name, uint64_t size);
  // DATA_LOSS when it has another size.
  absl::Status CheckSize(const std::string& name, uint64_t size) const { return OpenSized(name, size).status(); }
  // Reads the file from the disk, past the cache. DATA_LOSS when size or SHA-256 are others.
  absl::Status ReadBack(const std::string& name, uint64_t size, absl::string_view sha256) const;
  // OK when the end is so already: a step that was cut is done again.
  absl::Status Rename(const std::string& from, const std::string& to);
  // FAILED_PRECONDITION when another name has the same first cluster, as a power cut in a rename may
  // leave: freeing one would free the other's data.
  absl::Status Remove(const std::string& name);
  // For one that may not be unlinked: a name that neither loader nor firmware nor we look at, `stele-2+1-2.efi` →
  // `stele-2+1-2.twin`, or `.twin2` … where that is taken. What it holds stays as it is and takes its room for good.
  absl::Status SetAside(const std::string& name);
  // The one or the other.
  absl::Status RemoveOrSetAside(const std::string& name);

 private:
  EspFolder(UniqueFd folder, std::string path) : folder_(std::move(folder)), path_(std::move(path)) {}
  // For reading past the cache. DATA_LOSS when it has another size.
  absl::StatusOr<UniqueFd> OpenSized(const std::string& name, uint64_t size) const;
  absl::Status CheckNoTwin(int fd, const std::string& name) const;

  UniqueFd folder_;
  std::string path_;
};

}  // namespace stele::machined
