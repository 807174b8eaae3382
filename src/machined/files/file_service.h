// FileService over any tree: what the node has it for is MakeFileService(NodeApi&) in machined/api.h.
#pragma once

#include <memory>
#include <string>

#include "absl/types/span.h"
#include "machined/files/file_rules.h"

namespace grpc {
class Service;
}

namespace stele::machined {

// Serves what is below the directory `top` as if that were "/". `rules` outlives it.
std::unique_ptr<grpc::Service> MakeFileService(std::string top, absl::Span<const FileRule> rules);

}  // namespace stele::machined
