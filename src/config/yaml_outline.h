// A look into YAML of other people's: Pods, kubeconfigs. Not strict: only what is asked for is known.
#pragma once

#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "config/problem.h"

namespace stele::config {

struct YamlOutline {
  // Paths of scalars to their values: {"metadata.name", "demo"}, {"spec.containers[0].image", "…"}.
  std::map<std::string, std::string> scalars;
  // Set when the text is not YAML, holds a second document, or more than 20,000 nodes.
  Problem problem;
  bool ok() const { return problem.reason.empty(); }

  std::string Get(const std::string& path) const;
};

// At most 1 MiB is looked at; anchors are passed over, aliases are not followed.
YamlOutline ReadYamlOutline(absl::string_view yaml);

}  // namespace stele::config
