#include "osctl/output/format.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace stele::osctl {

Argument OutputArgument(std::string* format, std::vector<std::string> choices) {
  Argument argument{"-o,--output", "FORMAT", absl::StrCat(absl::StrJoin(choices, ", "), "; default ", *format), format};
  argument.choices = std::move(choices);
  return argument;
}

std::string Structured(const Value& value, absl::string_view format) {
  return format == "yaml" ? ToYaml(value) : ToJson(value);
}

}  // namespace stele::osctl
