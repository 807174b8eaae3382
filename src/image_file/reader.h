// An image that is at hand: a file, or the two pieces that a medium carries. Hands out its parts in
// chunks, each checked before anybody sees it. Holds one chunk in memory, never more.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "image_file/header.h"

namespace stele::image_file {

class Reader {
 public:
  // A whole image file. INVALID_ARGUMENT when it is none; DATA_LOSS when it is longer or shorter than its
  // manifest says.
  static absl::StatusOr<Reader> Open(const std::string& path);
  // As a medium has it (docs/upgrade.md): a file with everything up to the root part, and a device or file
  // that begins with the root part.
  static absl::StatusOr<Reader> OpenMedium(const std::string& head, const std::string& root);

  const Header& header() const { return header_; }
  // The file's bytes as they are, unchecked; fewer than `size` where it ends. Of a medium: the head's.
  absl::StatusOr<std::string> ReadRaw(uint64_t offset, size_t size) const;

  // A chunk of the part, and where in the part it begins. A failure of it ends the reading.
  using Each = std::function<absl::Status(uint64_t offset, absl::string_view chunk)>;
  // DATA_LOSS names part, chunk and offset of what is not as the manifest says; `each` has not seen it then.
  absl::Status ReadPart(int part, const Each& each) const;
  // The zeros between the parts, which no hash covers.
  absl::Status CheckPadding() const;

 private:
  Reader() = default;
  absl::Status ReadHeader();
  // As much of the piece as is there, up to the size of `bytes`.
  absl::StatusOr<size_t> Read(bool from_root, uint64_t offset, char* bytes, size_t size) const;
  absl::Status ReadAll(int part, uint64_t offset, char* bytes, size_t size) const;

  std::string path_;
  UniqueFd file_;
  std::string root_path_;
  UniqueFd root_;  // none: the root is in the file too
  Header header_;
};

}  // namespace stele::image_file
