#include "osctl/output/format.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "osctl/output/json_path.h"

namespace stele::osctl {
namespace {

constexpr absl::string_view kJsonPath = "jsonpath=";

std::string CheckFormat(const std::string& format, const std::vector<std::string>& choices) {
  absl::string_view path = format;
  bool takes_path = std::find(choices.begin(), choices.end(), kJsonPath) != choices.end();
  if (takes_path && absl::ConsumePrefix(&path, kJsonPath)) return std::string(JsonPath::Parse(path).status().message());
  bool known = format != kJsonPath && std::find(choices.begin(), choices.end(), format) != choices.end();
  return known ? "" : absl::StrCat(format, ": expected one of ", absl::StrJoin(choices, ", "));
}

}  // namespace

Argument OutputArgument(std::string* format, std::vector<std::string> choices) {
  Argument argument{"-o,--output", "FORMAT", absl::StrCat(absl::StrJoin(choices, ", "), "; default ", *format), format};
  argument.check = [choices](const std::string& text) { return CheckFormat(text, choices); };
  argument.choices = std::move(choices);
  return argument;
}

bool IsStructured(absl::string_view format) {
  return format == "json" || format == "yaml" || absl::StartsWith(format, kJsonPath);
}

std::string Structured(const Value& value, absl::string_view format) {
  absl::string_view path = format;
  if (absl::ConsumePrefix(&path, kJsonPath)) {
    absl::StatusOr<JsonPath> parsed = JsonPath::Parse(path);  // was checked with the command line
    return parsed.ok() ? parsed->Render(value) : "";
  }
  return format == "yaml" ? ToYaml(value) : ToJson(value);
}

}  // namespace stele::osctl
