#include "config/yaml_tree.h"

#include <set>

#include "absl/strings/numbers.h"
#include "config/proto_to_yaml.h"
#include "config/scalar.h"
#include "config/text_check.h"
#include "config/yaml_events.h"

namespace stele::config {
namespace {

constexpr size_t kMaxBytes = 1 << 20, kMaxNodes = 20'000, kMaxDepth = 32, kMaxKey = 256;

// Starts at a node's first event and leaves at the one after its last.
void Read(YamlEvents* events, YamlTree* tree);

void ReadMap(YamlEvents* events, YamlTree* tree) {
  tree->kind = YamlTree::Kind::kMap;
  std::set<std::string> seen;
  events->Next();
  while (!events->failed() && events->type() != YAML_MAPPING_END_EVENT) {
    if (events->type() != YAML_SCALAR_EVENT || events->scalar().size() > kMaxKey) {
      return events->Fail(events->mark(), "expected a key, a word of at most 256 letters");
    }
    std::string key(events->scalar());
    if (!seen.insert(key).second) return events->Fail(events->mark(), "duplicate key");
    events->Next();
    tree->children.push_back({std::move(key), {}});
    Read(events, &tree->children.back().tree);
  }
  events->Next();
}

void Read(YamlEvents* events, YamlTree* tree) {
  switch (events->type()) {
    case YAML_MAPPING_START_EVENT:
      return ReadMap(events, tree);
    case YAML_SEQUENCE_START_EVENT:
      tree->kind = YamlTree::Kind::kList;
      events->Next();
      while (!events->failed() && events->type() != YAML_SEQUENCE_END_EVENT) {
        tree->children.push_back({});
        Read(events, &tree->children.back().tree);
      }
      events->Next();
      return;
    case YAML_SCALAR_EVENT:
      tree->scalar = std::string(events->scalar());
      tree->plain = events->plain();
      events->Next();
      return;
    default:
      events->Next();
  }
}

bool IsTyped(const YamlTree& tree) { return tree.plain && LooksTyped(tree.scalar); }

bool SameScalar(const YamlTree& a, const YamlTree& b) {
  if (IsTyped(a) != IsTyped(b)) return false;
  if (a.scalar == b.scalar || (a.is_null() && b.is_null())) return true;
  double x, y;
  return IsTyped(a) && absl::SimpleAtod(a.scalar, &x) && absl::SimpleAtod(b.scalar, &y) && x == y;
}

void Write(const YamlTree& tree, std::string* out) {
  switch (tree.kind) {
    case YamlTree::Kind::kScalar:
      if (tree.is_null()) {
        *out += "null";
      } else {
        *out += IsTyped(tree) ? tree.scalar : QuotedYaml(tree.scalar);
      }
      return;
    case YamlTree::Kind::kList:
    case YamlTree::Kind::kMap:
      bool map = tree.kind == YamlTree::Kind::kMap;
      *out += map ? '{' : '[';
      for (size_t i = 0; i < tree.children.size(); ++i) {
        if (i > 0) *out += ", ";
        if (map) absl::StrAppend(out, QuotedYaml(tree.children[i].key), ": ");
        Write(tree.children[i].tree, out);
      }
      *out += map ? '}' : ']';
  }
}

}  // namespace

bool YamlTree::is_null() const {
  if (kind != Kind::kScalar || !plain) return false;
  return scalar.empty() || scalar == "~" || scalar == "null" || scalar == "Null" || scalar == "NULL";
}

YamlTree* YamlTree::Find(absl::string_view key) {
  if (kind != Kind::kMap) return nullptr;
  for (auto& [name, child] : children) {
    if (name == key) return &child;
  }
  return nullptr;
}

size_t YamlTree::Weight() const {
  size_t weight = sizeof(Child) + scalar.size();
  for (const auto& [key, child] : children) weight += key.size() + child.Weight();
  return weight;
}

ParsedYamlTree ReadYamlTree(absl::string_view text) {
  ParsedYamlTree parsed;
  if (text.size() > kMaxBytes) {
    parsed.problem = {1, 1, "", "longer than 1 MiB"};
    return parsed;
  }
  if (std::optional<Problem> problem = CheckText(text)) {
    parsed.problem = *problem;
    return parsed;
  }
  YamlEvents events(text, kMaxNodes, kMaxDepth);
  events.Next();
  if (events.Next() && events.type() == YAML_STREAM_END_EVENT) events.Fail({1, 1}, "an empty text");
  if (!events.failed() && events.Next()) Read(&events, &parsed.tree);
  while (!events.failed() && events.type() != YAML_STREAM_END_EVENT) events.Next();  // a second document fails here
  parsed.problem = events.problem();
  return parsed;
}

std::string WriteYamlTree(const YamlTree& tree) {
  std::string out;
  Write(tree, &out);
  return out + "\n";
}

bool SameTree(const YamlTree& a, const YamlTree& b) {
  if (a.kind != b.kind || a.children.size() != b.children.size()) return false;
  if (a.kind == YamlTree::Kind::kScalar) return SameScalar(a, b);
  for (size_t i = 0; i < a.children.size(); ++i) {
    const YamlTree* other = &b.children[i].tree;
    if (a.kind == YamlTree::Kind::kMap) other = const_cast<YamlTree&>(b).Find(a.children[i].key);
    if (other == nullptr || !SameTree(a.children[i].tree, *other)) return false;
  }
  return true;
}

}  // namespace stele::config
