#include "osctl/output/json_path.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace stele::osctl {
namespace {

constexpr int kMaxDepth = 16;  // of ranges, and of filters within filters
constexpr int kMaxTree = 64;   // of what is searched by `..`

struct Filter;

struct Step {
  enum class Kind : unsigned char { kName, kEvery, kBelow, kSlice, kFilter } kind;
  std::string name = {};  // kName, kBelow; empty: all below
  // kSlice: [begin, end), negative from behind.
  int64_t begin = 0;
  int64_t end = std::numeric_limits<int64_t>::max();
  std::shared_ptr<const Filter> filter = {};
};

using Path = std::vector<Step>;

struct Filter {
  Path path;
  std::string op;  // empty: it is there
  std::string literal;
};

}  // namespace

// A piece of a template.
struct JsonPath::Node {
  enum class Kind : unsigned char { kText, kPath, kRange } kind = Kind::kRange;
  std::string text = {};
  Path path = {};  // of a range: what it goes over; the outermost has none
  std::vector<Node> children = {};
};

namespace {

using Node = JsonPath::Node;

class Parser {
 public:
  explicit Parser(absl::string_view text) : all_(text), rest_(text) {}

  absl::StatusOr<Node> Template() {
    Node root;
    RETURN_IF_ERROR(Children(root, 0));
    return root;
  }

  absl::StatusOr<Node> BarePath() {
    Node root;
    ASSIGN_OR_RETURN(Path path, ParsePath(0));
    if (!rest_.empty()) return Wrong("expected the end");
    root.children.push_back({.kind = Node::Kind::kPath, .path = std::move(path)});
    return root;
  }

 private:
  absl::Status Wrong(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("jsonpath, character ", all_.size() - rest_.size() + 1, ": ", what));
  }
  void SkipSpace() { rest_ = absl::StripLeadingAsciiWhitespace(rest_); }
  bool Take(absl::string_view word) { return absl::ConsumePrefix(&rest_, word); }

  // Until the end of the text, or of the range.
  absl::Status Children(Node& parent, int depth) {
    if (depth > kMaxDepth) return Wrong("ranges are nested too deep");
    while (!rest_.empty()) {
      size_t open = std::min(rest_.find('{'), rest_.size());
      if (open > 0) {
        parent.children.push_back({.kind = Node::Kind::kText, .text = std::string(rest_.substr(0, open))});
        rest_.remove_prefix(open);
        continue;
      }
      rest_.remove_prefix(1);
      SkipSpace();
      if (Take("end")) {
        RETURN_IF_ERROR(Close());
        return depth > 0 ? absl::OkStatus() : Wrong("{end} without {range}");
      }
      ASSIGN_OR_RETURN(Node child, Braced(depth));
      parent.children.push_back(std::move(child));
    }
    return depth == 0 ? absl::OkStatus() : Wrong("{range} without {end}");
  }

  absl::Status Close() {
    SkipSpace();
    return Take("}") ? absl::OkStatus() : Wrong("expected }");
  }

  absl::StatusOr<Node> Braced(int depth) {
    Node node;
    if (Take("range")) {
      SkipSpace();
      ASSIGN_OR_RETURN(node.path, ParsePath(0));
      RETURN_IF_ERROR(Close());
      RETURN_IF_ERROR(Children(node, depth + 1));
      return node;
    }
    if (!rest_.empty() && (rest_[0] == '"' || rest_[0] == '\'')) {
      node.kind = Node::Kind::kText;
      ASSIGN_OR_RETURN(node.text, Quoted());
    } else {
      node.kind = Node::Kind::kPath;
      ASSIGN_OR_RETURN(node.path, ParsePath(0));
    }
    RETURN_IF_ERROR(Close());
    return node;
  }

  absl::StatusOr<std::string> Quoted() {
    char quote = rest_[0];
    std::string text;
    for (size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == quote) {
        rest_.remove_prefix(i + 1);
        return text;
      }
      if (rest_[i] == '\\' && i + 1 < rest_.size()) {
        char c = rest_[++i];
        text += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
      } else {
        text += rest_[i];
      }
    }
    return Wrong("a quote that does not end");
  }

  absl::StatusOr<Path> ParsePath(int depth) {
    Path path;
    if (!Take("$")) Take("@");
    while (!rest_.empty()) {
      if (Take("..")) {
        path.push_back({.kind = Step::Kind::kBelow, .name = Name()});
      } else if (Take(".")) {
        if (Take("*")) {
          path.push_back({.kind = Step::Kind::kEvery});
        } else if (std::string name = Name(); !name.empty()) {
          path.push_back({.kind = Step::Kind::kName, .name = std::move(name)});
        } else if (!path.empty() || (!rest_.empty() && rest_[0] != '}')) {
          return Wrong("expected a name");
        }
      } else if (Take("[")) {
        ASSIGN_OR_RETURN(Step step, Bracketed(depth));
        path.push_back(std::move(step));
      } else {
        break;
      }
    }
    return path;
  }

  std::string Name() {
    size_t size = 0;
    while (size < rest_.size() && (absl::ascii_isalnum(static_cast<unsigned char>(rest_[size])) || rest_[size] == '_' ||
                                   rest_[size] == '-' || rest_[size] == '@' || rest_[size] == '/'))
      ++size;
    std::string name(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return name;
  }

  absl::StatusOr<Step> Bracketed(int depth) {
    Step step = {.kind = Step::Kind::kEvery};
    SkipSpace();
    if (Take("*")) {
    } else if (Take("?(")) {
      ASSIGN_OR_RETURN(step, FilterStep(depth + 1));
    } else if (!rest_.empty() && (rest_[0] == '\'' || rest_[0] == '"')) {
      step.kind = Step::Kind::kName;
      ASSIGN_OR_RETURN(step.name, Quoted());
    } else {
      ASSIGN_OR_RETURN(step, Slice());
    }
    SkipSpace();
    if (!Take("]")) return Wrong("expected ]");
    return step;
  }

  absl::StatusOr<Step> Slice() {
    Step step = {.kind = Step::Kind::kSlice};
    std::optional<int64_t> begin = Number();
    step.begin = begin.value_or(0);
    if (Take(":")) {
      if (std::optional<int64_t> end = Number()) step.end = *end;
      return step;
    }
    if (!begin.has_value()) return Wrong("expected a number, *, a quoted name or ?(…)");
    // [-1] ends at the end, which −1 + 1 would not say.
    if (step.begin != -1) step.end = step.begin + 1;
    return step;
  }

  std::optional<int64_t> Number() {
    size_t size = 0;
    while (size < rest_.size() &&
           (absl::ascii_isdigit(static_cast<unsigned char>(rest_[size])) || (size == 0 && rest_[0] == '-')))
      ++size;
    int32_t number = 0;
    if (!absl::SimpleAtoi(rest_.substr(0, size), &number)) return std::nullopt;
    rest_.remove_prefix(size);
    return number;
  }

  absl::StatusOr<Step> FilterStep(int depth) {
    if (depth > kMaxDepth) return Wrong("filters are nested too deep");
    auto filter = std::make_shared<Filter>();
    SkipSpace();
    if (rest_.empty() || rest_[0] != '@') return Wrong("expected @, as in [?(@.name==\"x\")]");
    ASSIGN_OR_RETURN(filter->path, ParsePath(depth));
    SkipSpace();
    for (const char* op : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (!Take(op)) continue;
      filter->op = op;
      SkipSpace();
      ASSIGN_OR_RETURN(filter->literal, Literal());
      break;
    }
    SkipSpace();
    if (!Take(")")) return Wrong("expected ), or one of == != < <= > >=");
    return Step{.kind = Step::Kind::kFilter, .filter = std::move(filter)};
  }

  absl::StatusOr<std::string> Literal() {
    if (!rest_.empty() && (rest_[0] == '"' || rest_[0] == '\'')) return Quoted();
    size_t size = rest_.find_first_of(")] \t}");
    std::string text(rest_.substr(0, size));
    if (text.empty()) return Wrong("expected a value");
    rest_.remove_prefix(text.size());
    return text;
  }

  absl::string_view all_;
  absl::string_view rest_;
};

using Values = std::vector<const Value*>;

Values Find(const Path& path, const Value& from);

std::string Shown(const Value& value) {
  if (value.kind() != Value::Kind::kList && value.kind() != Value::Kind::kMap) return value.text();
  std::string json = ToJson(value, Layout::kOneLine);
  absl::StripTrailingAsciiWhitespace(&json);
  return json;
}

bool Holds(const Filter& filter, const Value& value) {
  Values found = Find(filter.path, value);
  if (found.empty()) return false;
  if (filter.op.empty()) return true;
  std::string text = Shown(*found.front());
  double a = 0;
  double b = 0;
  bool numbers = absl::SimpleAtod(text, &a) && absl::SimpleAtod(filter.literal, &b);
  int order = numbers ? (a > b) - (a < b) : text.compare(filter.literal);
  if (filter.op == "==") return order == 0;
  if (filter.op == "!=") return order != 0;
  if (filter.op == "<") return order < 0;
  if (filter.op == "<=") return order <= 0;
  return filter.op == ">" ? order > 0 : order >= 0;
}

void AddBelow(const Value& value, const std::string& name, int depth, Values& out) {
  if (depth > kMaxTree) return;
  for (const auto& [key, item] : value.items()) {
    if (name.empty() || (value.kind() == Value::Kind::kMap && key == name)) out.push_back(&item);
    AddBelow(item, name, depth + 1, out);
  }
}

void Take(const Step& step, const Value& value, Values& out) {
  switch (step.kind) {
    case Step::Kind::kName:
      if (value.kind() != Value::Kind::kMap) return;
      for (const auto& [key, item] : value.items()) {
        if (key == step.name) out.push_back(&item);
      }
      return;
    case Step::Kind::kEvery:
      for (const auto& [key, item] : value.items()) out.push_back(&item);
      return;
    case Step::Kind::kBelow:
      return AddBelow(value, step.name, 0, out);
    case Step::Kind::kSlice: {
      if (value.kind() != Value::Kind::kList) return;
      auto size = static_cast<int64_t>(value.items().size());
      auto place = [size](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size); };
      for (int64_t i = place(step.begin); i < place(step.end); ++i)
        out.push_back(&value.items()[static_cast<size_t>(i)].second);
      return;
    }
    case Step::Kind::kFilter:
      for (const auto& [key, item] : value.items()) {
        if (Holds(*step.filter, item)) out.push_back(&item);
      }
      return;
  }
}

Values Find(const Path& path, const Value& from) {
  Values found = {&from};
  for (const Step& step : path) {
    Values next;
    for (const Value* value : found) Take(step, *value, next);
    found = std::move(next);
  }
  return found;
}

void RenderInto(const Node& node, const Value& value, std::string& out) {
  switch (node.kind) {
    case Node::Kind::kText:
      out += node.text;
      return;
    case Node::Kind::kPath: {
      const char* between = "";
      for (const Value* found : Find(node.path, value))
        absl::StrAppend(&out, std::exchange(between, " "), Shown(*found));
      return;
    }
    case Node::Kind::kRange:
      for (const Value* found : Find(node.path, value)) {
        for (const Node& child : node.children) RenderInto(child, *found, out);
      }
      return;
  }
}

}  // namespace

absl::StatusOr<JsonPath> JsonPath::Parse(absl::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("jsonpath: expected a template, such as {.items[*].id}");
  bool bare = text.find('{') == absl::string_view::npos && (text[0] == '.' || text[0] == '$' || text[0] == '[');
  Parser parser(text);
  ASSIGN_OR_RETURN(Node root, bare ? parser.BarePath() : parser.Template());
  return JsonPath(std::make_shared<const Node>(std::move(root)));
}

std::string JsonPath::Render(const Value& root) const {
  std::string out;
  RenderInto(*root_, root, out);
  return out;
}

}  // namespace stele::osctl
