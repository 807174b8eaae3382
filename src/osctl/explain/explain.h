// What a configuration's key or a resource type is, from the protos: names, types and comments, with what field_notes.h
// adds. Asks no node.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace stele::osctl {

// `path`: a key such as network.interfaces.mtu (an index, as in interfaces[0], may stand in it), or a resource type, an
// alias of one, and a field of it, such as services.state. Empty: what there is. Text for people, at most `width`
// columns wide where words allow it. NOT_FOUND names what is nearest.
absl::StatusOr<std::string> Explain(absl::string_view path, size_t width);

// Every key of the configuration, one a line, with its type.
std::string ExplainTree();

// What may be explained: every key of the configuration, and every resource type.
std::vector<std::string> ExplainedPaths();

// `text` in lines of at most `width` columns, each but the first behind `indent` blanks.
std::string Wrapped(absl::string_view text, size_t indent, size_t width);

}  // namespace stele::osctl
