// A YAML or JSON text as the tree that JSON knows: what patches work on.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "config/problem.h"

namespace stele::config {

struct YamlTree {
  struct Child;
  enum class Kind : unsigned char { kScalar, kList, kMap };
  Kind kind = Kind::kScalar;
  std::string scalar;
  bool plain = false;  // the scalar was written without quotes
  std::vector<Child> children;

  bool is_null() const;
  YamlTree* Find(absl::string_view key);  // of a map; null: not there
  // How much there is of it: its nodes, and their text in bytes.
  size_t Weight() const;
};

struct YamlTree::Child {
  std::string key;  // empty in a list
  YamlTree tree;
};

struct ParsedYamlTree {
  YamlTree tree;
  Problem problem;  // empty reason: the text is good
  bool ok() const { return problem.reason.empty(); }
};

// At most 1 MiB, 32 levels, 20,000 nodes; no anchors, tags, duplicate keys or second document. Any thread.
ParsedYamlTree ReadYamlTree(absl::string_view text);

// On one line, so that ReadYamlTree and ParseYaml read it back.
std::string WriteYamlTree(const YamlTree& tree);

// Equal as JSON is: the order of a map's keys means nothing, 1 is 1.0, and "1" is not 1.
bool SameTree(const YamlTree& a, const YamlTree& b);

}  // namespace stele::config
