// -o: which of its forms a command's data takes.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "osctl/command.h"
#include "osctl/output/value.h"

namespace stele::osctl {

// The -o option, stored in `format`, which holds its default. Only `choices` are taken; one of them may be "jsonpath=",
// which a template follows (json_path.h).
Argument OutputArgument(std::string* format,
                        std::vector<std::string> choices = {"table", "wide", "json", "yaml", "jsonpath=", "name"});

// `value` as "json", "yaml" or what a template after "jsonpath=" makes of it.
std::string Structured(const Value& value, absl::string_view format);
bool IsStructured(absl::string_view format);

}  // namespace stele::osctl
