// The one place where our status becomes gRPC's. Their codes have the same numbers.
#pragma once

#include <grpcpp/support/status.h>

#include "base/status.h"

namespace stele::machined {

inline grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

}  // namespace stele::machined
