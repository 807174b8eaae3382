// A container's log: the file that containerd writes below /var/log/pods, whose lines are
// "2024-05-01T10:00:00.123456789Z stdout F text".
#pragma once

#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "machined/log_source.h"
#include "machined/store.h"

namespace stele::machined {

// `container` is an id or unique prefix of one, or namespace/pod[/container]. NOT_FOUND, or
// INVALID_ARGUMENT when several match. Owner thread.
absl::StatusOr<ResourcePtr> FindContainer(const Store& store, absl::string_view container);
// It has ended, or is gone: its log will not grow. Owner thread.
bool HasEnded(const Store& store, const std::string& id);

// One line of a container's log.
struct ContainerLine {
  absl::string_view time;
  absl::string_view text;  // without newline
  bool partial = false;    // goes on in the next one
};
// False for what is none.
bool ParseContainerLine(absl::string_view line, ContainerLine& out);

// Reads the log at `path`, and what replaces it there when it is rotated. A cursor is the file's
// inode and the offset in it. One user at a time, on any thread.
class ContainerLog : public LogSource {
 public:
  static absl::StatusOr<std::unique_ptr<LogSource>> Open(std::string path, const LogStart& from);
  absl::StatusOr<LogChunk> Next() override;
  LogPlace Place() const override;
  bool MayBlock() const override { return true; }

 private:
  explicit ContainerLog(std::string path) : path_(std::move(path)) {}
  absl::Status Begin(const LogStart& from);
  absl::Status OpenFile(const std::string& path);
  // Whether the log has a newer file than the open one, which then is opened.
  absl::StatusOr<bool> OpenNewer();
  uint64_t FindTail(uint32_t lines) const;
  // Turns the raw lines into text; what is older than since_ is left out. How much of `raw` it took: a line that goes
  // on behind it waits for its end.
  size_t Convert(absl::string_view raw, LogChunk& chunk);

  std::string path_;
  UniqueFd file_;
  uint64_t inode_ = 0;
  uint64_t offset_ = 0;
  struct FileEnd {
    uint64_t inode = 0, offset = 0;
  };
  FileEnd end_;  // of a reader that does not follow; no inode: none
  absl::Time since_ = absl::InfinitePast();
};

}  // namespace stele::machined
