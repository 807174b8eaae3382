// A gzipped tar archive that is put together of texts, by several threads.
#pragma once

#include <zlib.h>

#include <mutex>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "osctl/output/new_file.h"

namespace stele::osctl {

class Bundle {
 public:
  // Every file in it is of `time`.
  Bundle(std::string path, absl::Time time) : file_(std::move(path)), time_(time) {}
  ~Bundle();

  absl::Status Open();
  // Any thread. `name` has no slash at either end.
  absl::Status Add(const std::string& name, absl::string_view bytes);
  bool empty() const { return zip_.total_in == 0; }
  // Without it there is no file, nor where something could not be added. Its size.
  absl::StatusOr<uint64_t> Finish();

 private:
  absl::Status Put(const std::string& header, absl::string_view bytes);
  absl::Status Deflate(absl::string_view bytes, int flush);

  std::mutex mutex_;
  NewFile file_;
  absl::Time time_;
  z_stream zip_ = {};
  absl::Status added_;  // the first failure
  bool open_ = false;
};

}  // namespace stele::osctl
