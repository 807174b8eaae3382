// The narrow roles of this node: which methods each may call. Those of every node (base/narrow_roles.h), and those that
// the configuration names, which machined writes a line each:
//
//   NAME methods=Service.Method,Service.* resources=TYPE,TYPE
#pragma once

#include <bitset>
#include <iterator>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "stele/method_table.h"

namespace stele {

class Roles {
 public:
  struct Rule {
    std::bitset<std::size(kMethods)> methods;  // by their place in the table
    std::string resources;                     // what machined is told of it
    bool operator==(const Rule& other) const { return methods == other.methods && resources == other.resources; }
  };

  // Those of every node.
  Roles();
  // And those of the file. What is not as above grants nothing; a line cannot change a role that every node has.
  explicit Roles(absl::string_view file);

  // nullptr: there is no such narrow role. Owned by this.
  const Rule* Find(absl::string_view name) const;

 private:
  void Add(absl::string_view name, absl::string_view methods, absl::string_view resources);
  std::map<std::string, Rule, std::less<>> rules_;
};

}  // namespace stele
