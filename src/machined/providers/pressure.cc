#include "machined/providers/pressure.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"

namespace stele::machined {

using resource::v1::Pressure;

Pressure ParsePressure(absl::string_view text) {
  Pressure pressure;
  // "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234" with microseconds, and the same with "full".
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.empty()) continue;
    bool full = words[0] == "full";
    if (!full && words[0] != "some") continue;
    for (absl::string_view word : words) {
      std::pair<absl::string_view, absl::string_view> pair = absl::StrSplit(word, absl::MaxSplits('=', 1));
      double number = 0;
      if (!absl::SimpleAtod(pair.second, &number)) continue;
      if (pair.first == "avg10") full ? pressure.set_full_10s(number) : pressure.set_some_10s(number);
      if (pair.first == "avg60") full ? pressure.set_full_60s(number) : pressure.set_some_60s(number);
      if (pair.first == "avg300") full ? pressure.set_full_300s(number) : pressure.set_some_300s(number);
      if (pair.first == "total")
        SetDuration(absl::Microseconds(number), full ? pressure.mutable_full_total() : pressure.mutable_some_total());
    }
  }
  return pressure;
}

absl::StatusOr<Provided> ReadPressure() {
  Provided all;
  for (const std::string& name : NamesIn("/proc/pressure")) {
    std::string text = BytesOf(absl::StrCat("/proc/pressure/", name));
    if (!text.empty()) *Provide<Pressure>(all, name) = ParsePressure(text);
  }
  return all;
}

}  // namespace stele::machined
