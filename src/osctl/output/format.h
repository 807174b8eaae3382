// -o: which of its forms a command's data takes.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "osctl/command.h"
#include "osctl/output/value.h"

namespace stele::osctl {

// The -o option, stored in `format`, which holds its default. Only `choices` are taken.
Argument OutputArgument(std::string* format,
                        std::vector<std::string> choices = {"table", "wide", "json", "yaml", "name"});

// `value` as "json" or "yaml".
std::string Structured(const Value& value, absl::string_view format);
inline bool IsStructured(absl::string_view format) { return format == "json" || format == "yaml"; }

}  // namespace stele::osctl
