// The `modules` resources, from /proc/modules.
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/kernel.pb.h"

namespace stele::machined {

absl::StatusOr<Provided> ReadModules() {
  Provided all;
  std::string text = BytesOf("/proc/modules");
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    // name size references used-by,…,|- state address
    std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() < 5) continue;
    auto* module = Provide<resource::v1::KernelModule>(all, std::string(fields[0]));
    uint64_t size = 0;
    uint32_t references = 0;
    if (module == nullptr) continue;
    if (absl::SimpleAtoi(fields[1], &size)) module->set_size_bytes(size);
    if (absl::SimpleAtoi(fields[2], &references)) module->set_references(references);
    for (absl::string_view user : absl::StrSplit(fields[3], ',', absl::SkipEmpty())) {
      if (user != "-") module->add_used_by(std::string(user));
    }
    module->set_state(std::string(fields[4]));
  }
  return all;
}

}  // namespace stele::machined
