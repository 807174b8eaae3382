// The `cpus` resources, from /proc/stat, /proc/cpuinfo and /sys/devices/system/cpu.
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/kernel.pb.h"

namespace stele::machined {
namespace {

using resource::v1::Cpu;

// Columns of a "cpuN" line of /proc/stat, after the name: see proc(5).
enum StatColumn { kUser, kNice, kSystem, kIdle, kIoWait, kIrq, kSoftIrq, kSteal, kColumns };

void SetTimes(const std::vector<uint64_t>& ticks, Cpu* cpu) {
  SetDuration(FromTicks(ticks[kUser] + ticks[kNice]), cpu->mutable_user());
  SetDuration(FromTicks(ticks[kSystem] + ticks[kIrq] + ticks[kSoftIrq]), cpu->mutable_system());
  SetDuration(FromTicks(ticks[kIdle]), cpu->mutable_idle());
  SetDuration(FromTicks(ticks[kIoWait]), cpu->mutable_disk_wait());
  SetDuration(FromTicks(ticks[kSteal]), cpu->mutable_stolen());
}

// /proc/cpuinfo has a paragraph for each processor.
void SetNames(Provided& all) {
  Cpu* cpu = nullptr;
  std::string info = BytesOf("/proc/cpuinfo");
  for (absl::string_view line : absl::StrSplit(info, '\n')) {
    std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 1));
    absl::string_view key = absl::StripAsciiWhitespace(parts.first);
    absl::string_view value = absl::StripAsciiWhitespace(parts.second);
    if (key == "processor") {
      auto found = all.find(absl::StrCat("cpu", value));
      cpu = found == all.end() ? nullptr : static_cast<Cpu*>(found->second.get());
    }
    double mhz = 0;
    if (cpu == nullptr) continue;
    if (key == "model name") cpu->set_model(Printable(value));
    if (key == "cpu MHz" && absl::SimpleAtod(value, &mhz)) cpu->set_mhz(mhz);
  }
}

}  // namespace

absl::StatusOr<Provided> ReadCpus() {
  Provided all;
  std::string stat = BytesOf("/proc/stat");
  for (absl::string_view line : absl::StrSplit(stat, '\n')) {
    std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() <= kColumns || !absl::StartsWith(fields[0], "cpu") || fields[0] == "cpu") continue;
    std::vector<uint64_t> ticks(kColumns);
    for (int i = 0; i < kColumns; ++i) {
      if (!absl::SimpleAtoi(fields[static_cast<size_t>(i) + 1], &ticks[static_cast<size_t>(i)]))
        ticks[static_cast<size_t>(i)] = 0;
    }
    Cpu* cpu = Provide<Cpu>(all, std::string(fields[0]));
    if (cpu == nullptr) continue;
    SetTimes(ticks, cpu);
    std::string topology = absl::StrCat("/sys/devices/system/cpu/", fields[0], "/topology/");
    cpu->set_package(static_cast<int32_t>(NumberOf(topology + "physical_package_id")));
    cpu->set_core(static_cast<int32_t>(NumberOf(topology + "core_id")));
  }
  SetNames(all);
  return all;
}

}  // namespace stele::machined
