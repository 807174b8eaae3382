#include "apid/roles.h"

#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/narrow_roles.h"

namespace stele {

Roles::Roles() {
  for (const NarrowRole& role : kNarrowRoles) Add(role.name, role.methods, role.resources);
}

Roles::Roles(absl::string_view file) : Roles() {
  for (absl::string_view line : absl::StrSplit(file, '\n', absl::SkipEmpty())) {
    std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    if (words.size() != 3 || !absl::ConsumePrefix(&words[1], "methods=") ||
        !absl::ConsumePrefix(&words[2], "resources=")) {
      continue;
    }
    if (!words[0].empty() && !IsWideRole(words[0])) Add(words[0], words[1], words[2]);
  }
}

void Roles::Add(absl::string_view name, absl::string_view methods, absl::string_view resources) {
  Rule rule;
  rule.resources = std::string(resources);
  for (absl::string_view pattern : absl::StrSplit(methods, ',', absl::SkipEmpty())) {
    for (size_t i = 0; i < std::size(kMethods); ++i) {
      if (MethodFits(pattern, kMethods[i].path)) rule.methods.set(i);
    }
  }
  rules_.emplace(std::string(name), std::move(rule));  // the first of a name stays
}

const Roles::Rule* Roles::Find(absl::string_view name) const {
  auto found = rules_.find(name);
  return found == rules_.end() ? nullptr : &found->second;
}

}  // namespace stele
