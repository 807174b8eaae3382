// The `conntrack` resource, from /proc/sys/net/netfilter and the kernel's counters for each processor.
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/kernel.pb.h"

namespace stele::machined {

absl::StatusOr<Provided> ReadConntrack() {
  using resource::v1::Conntrack;
  Provided all;
  uint64_t max = NumberOf("/proc/sys/net/netfilter/nf_conntrack_max");
  if (max == 0) return all;  // the module is not there
  auto* conntrack = Provide<Conntrack>(all, "node");
  conntrack->set_max(max);
  conntrack->set_entries(NumberOf("/proc/sys/net/netfilter/nf_conntrack_count"));
  // A line of headings, then a line of hexadecimal numbers for each processor.
  std::vector<std::string> headings;
  std::map<std::string, uint64_t> sums;
  std::string text = BytesOf("/proc/net/stat/nf_conntrack");
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    std::vector<std::string> fields = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (headings.empty()) {
      headings = fields;
      continue;
    }
    for (size_t i = 0; i < fields.size() && i < headings.size(); ++i) {
      uint64_t number = 0;
      if (absl::SimpleHexAtoi(fields[i], &number)) sums[headings[i]] += number;
    }
  }
  conntrack->set_dropped(sums["drop"]);
  conntrack->set_early_dropped(sums["early_drop"]);
  conntrack->set_insert_failed(sums["insert_failed"]);
  conntrack->set_invalid(sums["invalid"]);
  return all;
}

}  // namespace stele::machined
