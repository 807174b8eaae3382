// A service's listening socket, made by init and kept while the service comes and goes.
#pragma once

#include "base/service_spec.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace stele::init {

// Opens what `spec` names. A unix socket's file is replaced if one is there.
absl::StatusOr<UniqueFd> OpenListenSocket(const ListenSocket& spec);

}  // namespace stele::init
