// The audit as it is kept over reboots: apid's records, a line each, in files of a folder on the state partition.
//
//   calls-0000000000000001     calls, what was allowed and what was not: the first 2,500 records
//   calls-00000000000009c5     the next ones; the file that is written now
//   refused-0000000000000107   connections that were turned away, apart: strangers must not push the calls out
//
// A file is named after its first record's number; numbers ascend over both kinds and over reboots. A line is number,
// place in apid's log, record: the place says where to go on after a kill or a reboot, so that no record comes twice
// and none is left out. Any thread; one lock, which who reads does not hold
// while he reads.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "machined/log_source.h"

namespace stele::machined {

struct AuditRecord {
  std::string text;   // without a newline
  std::string place;  // in apid's log, behind the record
  bool refusal = false;
};

class AuditStore {
 public:
  static constexpr uint32_t kRecordsOfAFile = 2'500;
  static constexpr size_t kFilesOfCalls = 5;     // one of them is being filled: 10,000 records at least
  static constexpr size_t kFilesOfRefusals = 2;  // 2,500 at least
  static constexpr size_t kMaxText = 1024;       // longer records are cut

  // Goes on where the folder's files end, which it makes where there is none; what is torn at their end is taken away.
  // `tag` tells the folder's cursors from another's. Readers of a folder before it, or of what is taken away, end with
  // UNAVAILABLE.
  absl::Status Open(const std::string& folder, const std::string& tag);
  std::string folder() const;
  // Behind the newest record; empty: there is none.
  std::string place() const;

  // Writes the records and flushes them to the disk. After an error the store must be opened again.
  absl::Status Append(const std::vector<AuditRecord>& records);

  // Borrows the store. INVALID_ARGUMENT for a cursor that is none.
  absl::StatusOr<std::unique_ptr<LogSource>> Read(const LogStart& from);

 private:
  friend class AuditReader;
  enum Kind { kCalls, kRefusals, kKinds };
  struct File {
    UniqueFd fd;
    uint32_t records = 0;
    std::string unwritten;
    bool unflushed = false;
  };
  // What a reader goes by. All up to `newest` is in the files.
  struct Present {
    uint64_t opened = 0;
    std::string folder, tag;
    uint64_t newest = 0;
  };
  // What a file holds: its bytes, and those up to its last whole record.
  struct Known {
    size_t size = 0, whole = 0;
    uint32_t records = 0;
  };
  Present present() const;
  absl::Status OpenNewest(Kind kind);
  absl::StatusOr<Known> LookInto(Kind kind, uint64_t first);
  absl::Status BeginFile(Kind kind);
  absl::Status Write(Kind kind);

  mutable std::mutex mutex_;
  std::string folder_;
  std::string tag_;
  uint64_t opened_ = 0;  // how often, where readers cannot go on
  File files_[kKinds];
  uint64_t next_number_ = 1;
  uint64_t newest_ = 0;        // that readers may look for
  uint64_t place_number_ = 0;  // of the record that place_ is of
  std::string place_;
};

// What apid's log says of calls and strangers: the record in a line of it, or false.
bool ParseAuditLine(absl::string_view line, AuditRecord* record);

}  // namespace stele::machined
