// Everything below a directory, by descriptors alone, bounded in depth and number.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "machined/files/file_tree.h"
#include "stele/machine/v1/file_service.pb.h"

namespace stele::machined {

// Each level holds a descriptor and a buffer while what is below it is walked.
inline constexpr uint32_t kMaxWalkDepth = 64;

// As text for the protos: each byte that is no UTF-8 is U+FFFD.
std::string ShownPath(absl::string_view path);

// What an answer lacks, by reason.
class Omissions {
 public:
  void Add(machine::v1::OmissionReason reason, const std::string& path);
  template <typename Response>
  void AppendTo(Response* response) const {
    for (const auto& [reason, omission] : by_reason_) *response->add_omissions() = omission;
  }
  bool empty() const { return by_reason_.empty(); }

 private:
  std::map<machine::v1::OmissionReason, machine::v1::Omission> by_reason_;
};

struct WalkEntry {
  const std::string& path;
  int folder;               // the directory that holds it
  const std::string& name;  // in that directory
  const struct stat& info;
  const FilePlace& place;
  uint32_t depth;  // 1: in the directory that the walk began in
  Need need;
  bool entered;  // a directory whose entries follow, and then Leave; unless Visit answers kNo
};

enum class Descend : unsigned char { kYes, kNo };

// What a walk is for. An error of any of these ends it.
class WalkVisitor {
 public:
  virtual ~WalkVisitor() = default;
  // Before what a directory holds, and instead of it with kNo. Also of entries that the caller may not read.
  virtual absl::StatusOr<Descend> Visit(const WalkEntry& entry) = 0;
  // After all that the directory holds, if it was entered.
  virtual absl::Status Leave(const std::string& path) = 0;
};

struct WalkLimits {
  uint32_t depth = kMaxWalkDepth;
  uint64_t entries = 0;
  Crossing crossing = Crossing::kRefuse;
};

// Visits what is below the directory `root`, not itself. Notes in `omissions` mounts, what lies deeper than
// kMaxWalkDepth (not than a smaller depth that was asked for), the end at `limits.entries`, and what went wrong with
// single entries, which ends nothing.
absl::Status Walk(const FoundFile& root, const WalkLimits& limits, WalkVisitor& visitor, Omissions& omissions);

}  // namespace stele::machined
