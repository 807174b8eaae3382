// What the config's proto cannot say of a key in data: what holds without it, which values are taken, what a change of
// it does, and how it is written. explain_test.cc holds examples and limits against the check of src/config, and
// tests/node/test_explain.py the changes against a node's own plan.
#pragma once

#include "absl/strings/string_view.h"

namespace stele::osctl {

// Each is empty where there is nothing to say.
struct FieldNotes {
  absl::string_view otherwise;  // without the key
  absl::string_view limits;
  absl::string_view change;   // what a change of it does and needs
  absl::string_view example;  // YAML from the first column on
};

// Of the key `path`, such as network.interfaces.mtu. What a change does, and an example, are those of the nearest key
// around it that has one.
FieldNotes NotesOf(absl::string_view path);

}  // namespace stele::osctl
