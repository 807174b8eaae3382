// The gRPC server on machined's unix socket. init made the socket and keeps it, so that clients wait
// in its backlog while machined restarts.
//
// Connections are accepted here and not by gRPC: only root and apid's user get in, and a limit of
// open ones holds. Owner thread only.
#pragma once

#include <sys/types.h>

#include <memory>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "machined/owner_loop.h"

namespace grpc {
class Service;
}

namespace stele::machined {

class ApiServer {
 public:
  // Serves `services` to connections of `listener` whose peer is root or `client_uid`.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(OwnerLoop& loop, UniqueFd listener, uid_t client_uid,
                                                          std::vector<std::unique_ptr<grpc::Service>> services);
  virtual ~ApiServer() = default;
};

}  // namespace stele::machined
