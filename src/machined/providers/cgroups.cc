// The `cgroups` resources, from /sys/fs/cgroup (Documentation/admin-guide/cgroup-v2.rst).
#include <dirent.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/pressure.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/kernel.pb.h"

namespace stele::machined {
namespace {

constexpr char kRoot[] = "/sys/fs/cgroup";
constexpr int kMaxDepth = 32;
constexpr size_t kMaxGroups = 20'000;

void Fill(const std::string& folder, resource::v1::Cgroup* group) {
  std::string cpu = BytesOf(folder + "/cpu.stat");
  group->set_tasks(NumberOf(folder + "/pids.current"));
  group->set_tasks_max(NumberOf(folder + "/pids.max"));
  group->set_memory_bytes(NumberOf(folder + "/memory.current"));
  group->set_memory_max_bytes(NumberOf(folder + "/memory.max"));
  SetDuration(absl::Microseconds(Keyed(cpu, "usage_usec")), group->mutable_cpu());
  group->set_throttled(Keyed(cpu, "nr_throttled"));
  group->set_oom_kills(Keyed(BytesOf(folder + "/memory.events"), "oom_kill"));
  group->set_cpu_pressure(ParsePressure(BytesOf(folder + "/cpu.pressure")).some_10s());
  group->set_memory_pressure(ParsePressure(BytesOf(folder + "/memory.pressure")).some_10s());
  group->set_io_pressure(ParsePressure(BytesOf(folder + "/io.pressure")).some_10s());
}

void Walk(const std::string& path, int depth, Provided& all) {
  std::string folder = path.empty() ? kRoot : absl::StrCat(kRoot, "/", path);
  if (!path.empty()) {
    // A pod may name its own as it likes.
    std::string id = absl::StrReplaceAll(Printable(path), {{"\n", "?"}, {"\t", "?"}});
    if (auto* group = Provide<resource::v1::Cgroup>(all, id)) Fill(folder, group);
  }
  std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
  if (open == nullptr || depth == kMaxDepth) return;  // it ended meanwhile
  while (dirent* entry = ::readdir(open.get())) {
    absl::string_view name = entry->d_name;
    if (entry->d_type != DT_DIR || name == "." || name == "..") continue;
    if (all.size() >= kMaxGroups) return;
    Walk(path.empty() ? std::string(name) : absl::StrCat(path, "/", name), depth + 1, all);
  }
}

}  // namespace

absl::StatusOr<Provided> ReadCgroups() {
  Provided all;
  Walk("", 0, all);
  return all;
}

}  // namespace stele::machined
