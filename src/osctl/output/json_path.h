// JSONPath templates as kubectl has them (https://kubernetes.io/docs/reference/kubectl/jsonpath/): text, and in braces
// paths, quoted text, and `range … end`.
//
//   {.items[*].id}    {.items[?(@.body.state=="SERVICE_STATE_RUNNING")].id}    {range .items[*]}{.id}{"\n"}{end}
//
// A path is made of .name, ['name'], [0], [-1], [1:3], [*], .*, ..name and [?(@.path op value)] with ==, !=, <, <=, >,
// >= or without any, for what is there. What is missing is nothing, not an error. Numbers are compared as numbers where
// both are.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "osctl/output/value.h"

namespace stele::osctl {

class JsonPath {
 public:
  // INVALID_ARGUMENT tells what is wrong and where. Braces around a single path may be left out: `.items[0].id`.
  static absl::StatusOr<JsonPath> Parse(absl::string_view text);

  // Strings as they are, lists and maps as JSON in one line, several results of one path with a space between.
  std::string Render(const Value& root) const;

  struct Node;

 private:
  explicit JsonPath(std::shared_ptr<const Node> root) : root_(std::move(root)) {}
  std::shared_ptr<const Node> root_;
};

}  // namespace stele::osctl
