#include "config/config_patch.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"

namespace stele::config {
namespace {

constexpr size_t kMaxOperations = 1000, kMaxWeight = 4 << 20, kMaxSteps = 64, kMaxShown = 200;

using Kind = YamlTree::Kind;
using Steps = std::vector<std::string>;

std::string Shown(absl::string_view path) {
  return absl::StrCat("'", path.substr(0, kMaxShown), path.size() > kMaxShown ? "…" : "", "'");
}

// RFC 6901: "" is the whole, "/a~1b/0" the first element of "a/b".
absl::StatusOr<Steps> ParsePointer(absl::string_view pointer) {
  if (pointer.empty()) return Steps();
  if (pointer[0] != '/') return absl::InvalidArgumentError(absl::StrCat(Shown(pointer), " does not begin with /"));
  Steps steps = absl::StrSplit(pointer.substr(1), '/');
  if (steps.size() > kMaxSteps) return absl::InvalidArgumentError(absl::StrCat(Shown(pointer), " is too deep"));
  for (std::string& step : steps) {
    for (size_t i = step.find('~'); i != std::string::npos; i = step.find('~', i + 1)) {
      if (i + 1 >= step.size() || (step[i + 1] != '0' && step[i + 1] != '1')) {
        return absl::InvalidArgumentError(absl::StrCat(Shown(pointer), " has a ~ that is neither ~0 nor ~1"));
      }
    }
    step = absl::StrReplaceAll(step, {{"~1", "/"}, {"~0", "~"}});
  }
  return steps;
}

// No sign, no leading zeros; at most `last`.
bool ParseIndex(const std::string& step, size_t last, size_t* index) {
  bool digits = !step.empty() && std::all_of(step.begin(), step.end(), [](char c) { return absl::ascii_isdigit(c); });
  if (!digits || (step.size() > 1 && step[0] == '0')) return false;
  return absl::SimpleAtoi(step, index) && *index <= last;
}

// Null: nothing is there.
YamlTree* Walk(YamlTree* tree, absl::Span<const std::string> steps) {
  for (const std::string& step : steps) {
    size_t index = 0;
    if (tree->kind == Kind::kMap) {
      tree = tree->Find(step);
    } else if (tree->kind == Kind::kList && !tree->children.empty() &&
               ParseIndex(step, tree->children.size() - 1, &index)) {
      tree = &tree->children[index].tree;
    } else {
      return nullptr;
    }
    if (tree == nullptr) return nullptr;
  }
  return tree;
}

absl::Status NothingThere(absl::string_view path) {
  return absl::InvalidArgumentError(absl::StrCat("there is nothing at ", Shown(path)));
}

class Patcher {
 public:
  explicit Patcher(YamlTree target) : tree_(std::move(target)), weight_(tree_.Weight()) {}

  absl::Status Apply(YamlTree operation) {
    if (operation.kind != Kind::kMap) return absl::InvalidArgumentError("expected a mapping with op and path");
    ASSIGN_OR_RETURN(std::string op, Text(&operation, "op"));
    ASSIGN_OR_RETURN(path_, Text(&operation, "path"));
    ASSIGN_OR_RETURN(Steps path, ParsePointer(path_));
    if (op == "remove") return Remove(path).status();
    if (op == "move" || op == "copy") {
      ASSIGN_OR_RETURN(std::string from_text, Text(&operation, "from"));
      ASSIGN_OR_RETURN(Steps from, ParsePointer(from_text));
      return op == "move" ? Move(from, from_text, path) : Copy(from, from_text, path);
    }
    if (op != "add" && op != "replace" && op != "test") {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown op ", Shown(op), "; known are add, remove, replace, move, copy, test"));
    }
    YamlTree* value = operation.Find("value");
    if (value == nullptr) return absl::InvalidArgumentError(absl::StrCat(op, " needs a value"));
    if (op == "add") return Add(path, std::move(*value));
    YamlTree* at = Walk(&tree_, path);
    if (at == nullptr) return NothingThere(path_);
    if (op == "replace") {
      *at = std::move(*value);
      return Grow(at->Weight());
    }
    if (SameTree(*at, *value)) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("test: ", Shown(path_), " has another value"));
  }

  YamlTree Take() { return std::move(tree_); }

 private:
  static absl::StatusOr<std::string> Text(YamlTree* operation, const char* key) {
    const YamlTree* found = operation->Find(key);
    if (found == nullptr || found->kind != Kind::kScalar || found->is_null()) {
      return absl::InvalidArgumentError(absl::StrCat("expected a text for '", key, "'"));
    }
    return found->scalar;
  }

  // An upper bound of what the tree has become: a patch of copies could double it again and again.
  absl::Status Grow(size_t by) {
    weight_ += by;
    return weight_ <= kMaxWeight ? absl::OkStatus()
                                 : absl::InvalidArgumentError("the result becomes larger than 4 MiB");
  }

  absl::Status Add(absl::Span<const std::string> path, YamlTree value) {
    RETURN_IF_ERROR(Grow(value.Weight()));
    if (path.empty()) {
      tree_ = std::move(value);
      return absl::OkStatus();
    }
    YamlTree* parent = Walk(&tree_, path.first(path.size() - 1));
    if (parent == nullptr || parent->kind == Kind::kScalar) {
      return absl::InvalidArgumentError(absl::StrCat(Shown(path_), " is below nothing"));
    }
    const std::string& step = path.back();
    if (parent->kind == Kind::kMap) {
      if (YamlTree* there = parent->Find(step)) {
        *there = std::move(value);
      } else {
        parent->children.push_back({step, std::move(value)});
      }
      return absl::OkStatus();
    }
    size_t index = parent->children.size();
    if (step != "-" && !ParseIndex(step, parent->children.size(), &index)) {
      return absl::InvalidArgumentError(absl::StrCat(Shown(path_), " is no place in the list"));
    }
    parent->children.insert(parent->children.begin() + static_cast<ptrdiff_t>(index), {"", std::move(value)});
    return absl::OkStatus();
  }

  // What was there.
  absl::StatusOr<YamlTree> Remove(absl::Span<const std::string> path) {
    if (path.empty()) return absl::InvalidArgumentError("the whole cannot be removed");
    YamlTree* parent = Walk(&tree_, path.first(path.size() - 1));
    YamlTree* gone = Walk(&tree_, path);
    if (gone == nullptr) return NothingThere(path_);
    YamlTree taken = std::move(*gone);
    parent->children.erase(std::find_if(parent->children.begin(), parent->children.end(),
                                        [&](const auto& child) { return &child.tree == gone; }));
    return taken;
  }

  absl::Status Move(absl::Span<const std::string> from, const std::string& from_text,
                    absl::Span<const std::string> to) {
    if (from.size() < to.size() && std::equal(from.begin(), from.end(), to.begin())) {
      return absl::InvalidArgumentError(absl::StrCat("move ", Shown(from_text), " into itself"));
    }
    if (Walk(&tree_, from) == nullptr) return NothingThere(from_text);
    if (from == to) return absl::OkStatus();
    ASSIGN_OR_RETURN(YamlTree value, Remove(from));
    return Add(to, std::move(value));
  }

  absl::Status Copy(absl::Span<const std::string> from, const std::string& from_text,
                    absl::Span<const std::string> to) {
    YamlTree* source = Walk(&tree_, from);
    if (source == nullptr) return NothingThere(from_text);
    return Add(to, *source);
  }

  YamlTree tree_;
  size_t weight_;
  std::string path_;
};

}  // namespace

YamlTree MergePatch(YamlTree target, const YamlTree& patch) {
  if (patch.kind != Kind::kMap) return patch;
  if (target.kind != Kind::kMap) target = {.kind = Kind::kMap};
  for (const auto& [key, value] : patch.children) {
    auto there = std::find_if(target.children.begin(), target.children.end(),
                              [&key = key](const auto& child) { return child.key == key; });
    if (value.is_null()) {
      if (there != target.children.end()) target.children.erase(there);
    } else if (there != target.children.end()) {
      there->tree = MergePatch(std::move(there->tree), value);
    } else {
      target.children.push_back({key, MergePatch(YamlTree(), value)});
    }
  }
  return target;
}

absl::StatusOr<YamlTree> JsonPatch(YamlTree target, const YamlTree& patch) {
  if (patch.kind != Kind::kList) return absl::InvalidArgumentError("a JSON patch is a list of operations");
  if (patch.children.size() > kMaxOperations) {
    return absl::InvalidArgumentError(absl::StrCat("at most ", kMaxOperations, " operations"));
  }
  Patcher patcher(std::move(target));
  for (size_t i = 0; i < patch.children.size(); ++i) {
    RETURN_IF_ERROR(Annotate(patcher.Apply(patch.children[i].tree), absl::StrCat("operation ", i)));
  }
  return patcher.Take();
}

}  // namespace stele::config
