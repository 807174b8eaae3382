// FileService over any tree: what the node has it for is MakeFileService(NodeApi&) in machined/api.h.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "machined/files/file_rules.h"

namespace grpc {
class Service;
}

namespace stele::machined {

// How long a client may take nothing of what waits for it.
inline constexpr absl::Duration kMaxFileStall = absl::Minutes(5);

// Serves what is below the directory `top` as if that were "/". `rules` outlives it.
std::unique_ptr<grpc::Service> MakeFileService(std::string top, absl::Span<const FileRule> rules,
                                               absl::Duration stall = kMaxFileStall);

}  // namespace stele::machined
