// A machine configuration: YAML to a message that makes sense, or every reason why not.
#pragma once

#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "config/problem.h"
#include "config/yaml_to_proto.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::config {

// What the types cannot say: names, addresses, keys that match, a node that can be reached. Problems
// get their places from `marks` (ParseYaml). `of_a_newer_version`: methods and resource types that are not known here
// are taken; they grant nothing.
std::vector<Problem> ValidateMachineConfig(const v1::MachineConfig& config, const MarkMap& marks,
                                           bool of_a_newer_version = false);

struct ParsedMachineConfig {
  std::shared_ptr<const v1::MachineConfig> config;  // null where there are problems
  std::vector<Problem> problems;                    // in the order of the text
  std::vector<Problem> warnings;                    // unknown keys that were tolerated
};

// Both steps. Less than 100 ms and 32 MiB, whatever the text.
ParsedMachineConfig ParseMachineConfig(absl::string_view yaml, const ParseOptions& options = {});

}  // namespace stele::config
