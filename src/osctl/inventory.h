// Which nodes -n means: the context's inventory, its classes, and addresses. Pure data; asks nobody.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "stele/config/v1/client_config.pb.h"

namespace stele::osctl {

// One node to speak to.
struct Target {
  std::string name;         // what output shows
  std::string address;      // what is dialled: HOST[:PORT]
  std::string server_name;  // what its certificate must carry; empty: the context's, else the host
};

// Whether KEY=VALUE, KEY!=VALUE, KEY and !KEY, with commas between, all hold. INVALID_ARGUMENT for another text.
absl::StatusOr<bool> LabelsFit(absl::string_view selector, const std::map<std::string, std::string>& labels);

// Each of `wanted` is a list with commas of: a node's name, HOST[:PORT], "all", "@CLASS", or "@KEY=VALUE" and
// "@KEY!=VALUE" for a label without a class. Each node is there once, in the order of the context's file for "all" and
// classes. Nothing wanted: the only node there is. A usage error says what is wrong, and what was meant.
absl::StatusOr<std::vector<Target>> ChooseTargets(const stele::config::v1::ClientContext& context,
                                                  const std::vector<std::string>& wanted);

// "a, b, c", and how many more than `most` there are.
std::string NamesOf(const std::vector<std::string>& names, size_t most = 10);

}  // namespace stele::osctl
