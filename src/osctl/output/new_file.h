// A file that has its name once it is whole: until then it is NAME.part, which goes when the work fails.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace stele::osctl {

// Failures carry the exit code of what is wrong on this side.
class NewFile {
 public:
  explicit NewFile(std::string path) : path_(std::move(path)) {}
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  // For its owner's eyes: what comes from a node may be for administrators.
  absl::Status Open();
  absl::Status Write(absl::string_view bytes);
  absl::Status Finish();
  const std::string& path() const { return path_; }

 private:
  std::string Part() const { return path_ + ".part"; }

  std::string path_;
  UniqueFd fd_;
};

}  // namespace stele::osctl
