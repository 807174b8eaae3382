// The `memory` resource, from /proc/meminfo (Documentation/filesystems/proc.rst).
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/kernel.pb.h"

namespace stele::machined {

absl::StatusOr<Provided> ReadMemory() {
  using resource::v1::Memory;
  static constexpr struct {
    const char* key;
    uint64_t unit;
    void (Memory::*set)(uint64_t);
  } kFields[] = {
      {"MemTotal", 1024, &Memory::set_total_bytes},
      {"MemAvailable", 1024, &Memory::set_available_bytes},
      {"MemFree", 1024, &Memory::set_free_bytes},
      {"AnonPages", 1024, &Memory::set_anonymous_bytes},
      {"Cached", 1024, &Memory::set_cached_bytes},
      {"Shmem", 1024, &Memory::set_shared_bytes},
      {"Slab", 1024, &Memory::set_slab_bytes},
      {"Dirty", 1024, &Memory::set_dirty_bytes},
      {"Committed_AS", 1024, &Memory::set_committed_bytes},
      {"SwapTotal", 1024, &Memory::set_swap_total_bytes},
      {"SwapFree", 1024, &Memory::set_swap_free_bytes},
      {"HugePages_Total", 1, &Memory::set_huge_pages},
      {"HugePages_Free", 1, &Memory::set_huge_pages_free},
  };
  Provided all;
  auto* memory = Provide<Memory>(all, "node");
  std::string text = BytesOf("/proc/meminfo");
  for (const auto& field : kFields) (memory->*field.set)(Keyed(text, field.key) * field.unit);
  return all;
}

}  // namespace stele::machined
