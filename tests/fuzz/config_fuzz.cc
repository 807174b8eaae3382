// Any bytes as a config: refused with reasons that have places, or a config that prints and reads back.
#include <cstdint>
#include <cstdlib>

#include "config/config_patch.h"
#include "config/machine_config_check.h"
#include "config/proto_to_yaml.h"
#include "config/secrets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stele::config;
  absl::string_view yaml(reinterpret_cast<const char*>(data), size);
  stele::config::v1::MachineConfig config, again;
  std::vector<Problem> problems = ParseYaml(yaml, {}, &config);
  if (problems.size() > kMaxProblems) std::abort();
  for (const Problem& problem : problems) {
    if (problem.line == 0 || problem.reason.empty()) std::abort();
  }
  if (problems.empty()) {
    MarkMap marks;
    bool valid = ValidateMachineConfig(config, marks).empty();
    // What we print is what we read: `config get`, changed, is what `config apply` takes.
    std::string printed = ProtoToYaml(config, Secrets::kPrinted);
    if (!ParseYaml(printed, {}, &again).empty() || printed != ProtoToYaml(again, Secrets::kPrinted)) std::abort();
    // A text whose secrets are hidden, given back, is the same configuration.
    again.Clear();
    RestoredText restored = RestoreSecrets(HideSecrets(yaml, config), config);
    if (valid && !restored.problems.empty()) std::abort();
    if (valid && (!ParseYaml(restored.yaml, {}, &again).empty() || printed != ProtoToYaml(again, Secrets::kPrinted))) {
      std::abort();
    }
  }
  // As a patch, of itself and of something else.
  if (ParsedYamlTree patch = ReadYamlTree(yaml); patch.ok()) {
    ParsedYamlTree written = ReadYamlTree(WriteYamlTree(patch.tree));
    if (written.ok() && !SameTree(written.tree, patch.tree)) std::abort();
    MergePatch(patch.tree, patch.tree);
    JsonPatch(ReadYamlTree("{a: [1, {b: c}], d: {e: f}}").tree, patch.tree).status().IgnoreError();
  }
  std::vector<Problem> warnings;
  ParseYaml(yaml, {.tolerate_unknown_keys = true}, &again, &warnings);
  return 0;
}
