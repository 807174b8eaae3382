#include "machined/config_history.h"

#include <google/protobuf/util/time_util.h>

#include "absl/time/clock.h"
#include "config/machine_config_check.h"
#include "config/proto_to_yaml.h"
#include "machined/config_ledger.h"
#include "machined/uptime.h"

namespace stele::machined {
namespace {

namespace v1 = machine::v1;
using google::protobuf::util::TimeUtil;

v1::ConfigGeneration Tell(const Generation& generation) {
  v1::ConfigGeneration told;
  told.set_generation(generation.number);
  told.set_source(generation.source);
  *told.mutable_applied() = TimeUtil::SecondsToTimestamp(absl::ToUnixSeconds(generation.applied));
  told.set_sha256(Sha256Hex(generation.yaml));
  told.set_applied_by(generation.by);
  told.set_message(generation.message);
  if (told.message().empty() && generation.repeats != 0) {
    told.set_message(absl::StrCat("generation ", generation.repeats, " again"));
  }
  told.set_state(generation.fate == Generation::Fate::kReverted ? v1::CONFIG_GENERATION_STATE_REVERTED
                                                                : v1::CONFIG_GENERATION_STATE_KEPT);
  return told;
}

void TellTrial(const Generation& generation, v1::ConfigGeneration* told) {
  told->set_state(v1::CONFIG_GENERATION_STATE_TRYING);
  absl::Time deadline = absl::Now() + (generation.until - Uptime());
  *told->mutable_try_deadline() = TimeUtil::SecondsToTimestamp(absl::ToUnixSeconds(deadline));
}

}  // namespace

v1::ConfigHistoryResponse TellHistory(const std::string& folder, const Generation& running) {
  v1::ConfigHistoryResponse response;
  std::vector<std::string> passed_over;  // told as an event when it was found
  ConfigStore store(folder);
  ConfigLedger ledger = ConfigLedger::Load(folder);
  if (std::optional<Generation> staged = store.Staged()) {
    *response.add_generations() = Tell(*staged);
    response.mutable_generations(0)->set_state(v1::CONFIG_GENERATION_STATE_STAGED);
  }
  bool running_told = running.source.empty();
  std::set<uint64_t> left;  // by a fallback, or by maintenance mode
  if (running.source == "maintenance") left.insert(ConfigLedger::NumberOf(ledger.counted));
  for (const Generation& generation : store.List(&passed_over)) {
    v1::ConfigGeneration told = Tell(generation);
    if (generation.number == running.number) {
      told.set_state(v1::CONFIG_GENERATION_STATE_RUNNING);
      if (generation.fate == Generation::Fate::kTrying) TellTrial(running, &told);
      running_told = true;
    } else if (left.count(generation.number) != 0 && generation.fate == Generation::Fate::kApplied) {
      told.set_state(v1::CONFIG_GENERATION_STATE_FAILED);
    }
    if (generation.left != 0) left.insert(generation.left);
    told.set_last_good(generation.number == ledger.LastGood() && ledger.IsGood(generation));
    *response.add_generations() = std::move(told);
  }
  if (!running_told) {
    v1::ConfigGeneration* told = response.add_generations();
    *told = Tell(running);
    told->set_state(v1::CONFIG_GENERATION_STATE_RUNNING);
    told->set_last_good(ledger.LastGood() == 0 && ledger.IsGood(running));
  }
  return response;
}

absl::StatusOr<ReadableGeneration> ReadGenerationOf(const std::string& folder, uint64_t number) {
  std::vector<std::string> passed_over;
  for (Generation& generation : ConfigStore(folder).List(&passed_over)) {
    if (generation.number != number) continue;
    config::ParsedMachineConfig parsed = config::ParseMachineConfig(generation.yaml, {.tolerate_unknown_keys = true});
    if (parsed.config != nullptr) return ReadableGeneration{std::move(generation), parsed.config};
    return absl::FailedPreconditionError(
        absl::StrCat("this version cannot use generation ", number, ": ", config::ToString(parsed.problems.front())));
  }
  return absl::NotFoundError(
      absl::StrCat("generation ", number, " is not kept: `osctl config history` lists those that are"));
}

absl::StatusOr<v1::GetConfigResponse> TellGeneration(const std::string& folder, uint64_t number) {
  ASSIGN_OR_RETURN(ReadableGeneration found, ReadGenerationOf(folder, number));
  v1::GetConfigResponse response;
  response.set_yaml(config::ProtoToYaml(*found.config, config::Secrets::kRedacted));
  response.set_generation(number);
  response.set_source(found.generation.source);
  *response.mutable_applied() = TimeUtil::SecondsToTimestamp(absl::ToUnixSeconds(found.generation.applied));
  return response;
}

}  // namespace stele::machined
