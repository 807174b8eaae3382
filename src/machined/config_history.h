// What is known of the configurations that a node keeps, for the API. Blocks: for workers.
#pragma once

#include <memory>
#include <string>

#include "machined/config_store.h"
#include "stele/config/v1/machine_config.pb.h"
#include "stele/machine/v1/config_service.pb.h"

namespace stele::machined {

// Newest first; a seed or what runs in maintenance comes last.
machine::v1::ConfigHistoryResponse TellHistory(const std::string& folder, const Generation& running);

// The redacted configuration of a generation. NOT_FOUND: it is not kept; FAILED_PRECONDITION: this version cannot read
// it.
absl::StatusOr<machine::v1::GetConfigResponse> TellGeneration(const std::string& folder, uint64_t number);

// The generation, parsed; unknown keys are ignored.
struct ReadableGeneration {
  Generation generation;
  std::shared_ptr<const config::v1::MachineConfig> config;
};
absl::StatusOr<ReadableGeneration> ReadGenerationOf(const std::string& folder, uint64_t number);

}  // namespace stele::machined
