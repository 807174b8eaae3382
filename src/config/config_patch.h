// Patches of a tree: RFC 7386 (merge) and RFC 6902 (JSON patch). Pure; any thread. Bounded: whatever the patch, the
// result has at most 4 MiB, and a JSON patch at most 1,000 operations.
#pragma once

#include "base/status.h"
#include "config/yaml_tree.h"

namespace stele::config {

// `target` with the keys of `patch`; null removes a key.
YamlTree MergePatch(YamlTree target, const YamlTree& patch);

// `target` after each operation of `patch`, a list. INVALID_ARGUMENT, with the operation's number, for what is none or
// does not fit; FAILED_PRECONDITION where a test does not hold. Values are not told, paths are.
absl::StatusOr<YamlTree> JsonPatch(YamlTree target, const YamlTree& patch);

}  // namespace stele::config
