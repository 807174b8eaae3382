#include "machined/files/disk_usage.h"

#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"

namespace stele::machined {
namespace {

// Of files with several names that are remembered, at 16 bytes and more each. Further ones count at every name.
constexpr size_t kMaxLinked = 250'000;

class Counter : public WalkVisitor {
 public:
  Counter(Need role, const UsageOptions& options, const TellUsage& tell, Omissions& omissions)
      : role_(role), options_(options), tell_(tell), omissions_(omissions) {}

  absl::Status Run(const FoundFile& root) {
    Begin(root.path, true);
    levels_.back().listed = root.need() <= role_;
    Add(root.info);
    if (S_ISDIR(root.info.st_mode)) {
      WalkLimits limits;
      limits.entries = options_.entries;
      limits.crossing = options_.crossing;
      RETURN_IF_ERROR(Walk(root, limits, *this, omissions_));
    }
    return Leave(root.path);
  }

  absl::StatusOr<Descend> Visit(const WalkEntry& entry) override {
    RETURN_IF_ERROR(options_.keep_going());
    if (!S_ISDIR(entry.info.st_mode)) {
      Add(entry.info);
      return Descend::kNo;
    }
    if (!entry.entered) return Descend::kNo;  // a mount, or too deep: an omission
    // Below what may not be listed nothing is named, this directory still is.
    bool listed = levels_.back().listed;
    Begin(entry.path, listed);
    levels_.back().listed = listed && entry.need <= role_;
    Add(entry.info);
    return Descend::kYes;
  }

  absl::Status Leave(const std::string&) override {
    Level level = std::move(levels_.back());
    levels_.pop_back();
    if (!levels_.empty()) {
      machine::v1::DirectoryUsage& above = levels_.back().usage;
      above.set_disk_bytes(above.disk_bytes() + level.usage.disk_bytes());
      above.set_size_bytes(above.size_bytes() + level.usage.size_bytes());
      above.set_files(above.files() + level.usage.files());
      above.set_directories(above.directories() + level.usage.directories());
    }
    if (!level.told || levels_.size() > options_.depth) return absl::OkStatus();
    // The sum itself is always told.
    if (!levels_.empty() && told_++ >= options_.told) {
      omissions_.Add(machine::v1::OMISSION_REASON_ENTRIES, level.usage.path());
      return absl::OkStatus();
    }
    return tell_(std::move(level.usage));
  }

 private:
  struct Level {
    machine::v1::DirectoryUsage usage;
    bool told = true;    // its name may be told
    bool listed = true;  // the names in it
  };

  void Begin(const std::string& path, bool told) {
    Level level;
    level.told = told;
    // Most directories are only counted.
    if (told && levels_.size() <= options_.depth) level.usage.set_path(ShownPath(path));
    levels_.push_back(std::move(level));
  }

  void Add(const struct stat& info) {
    machine::v1::DirectoryUsage& usage = levels_.back().usage;
    if (S_ISDIR(info.st_mode)) {
      usage.set_directories(usage.directories() + 1);
    } else if (info.st_nlink > 1 && !First(info)) {
      return;
    } else {
      usage.set_files(usage.files() + 1);
      if (S_ISREG(info.st_mode)) usage.set_size_bytes(usage.size_bytes() + static_cast<uint64_t>(info.st_size));
    }
    usage.set_disk_bytes(usage.disk_bytes() + static_cast<uint64_t>(info.st_blocks) * 512);
  }

  bool First(const struct stat& info) {
    if (linked_.size() >= kMaxLinked) return linked_.count({info.st_dev, info.st_ino}) == 0;
    return linked_.insert({info.st_dev, info.st_ino}).second;
  }

  const Need role_;
  const UsageOptions& options_;
  const TellUsage& tell_;
  Omissions& omissions_;
  std::vector<Level> levels_;
  absl::flat_hash_set<std::pair<uint64_t, uint64_t>> linked_;  // device and inode
  uint64_t told_ = 0;
};

}  // namespace

absl::Status CountUsage(const FoundFile& root, Need role, const UsageOptions& options, const TellUsage& tell,
                        Omissions& omissions) {
  return Counter(role, options, tell, omissions).Run(root);
}

}  // namespace stele::machined
