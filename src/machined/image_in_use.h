// Which image somebody means who wants it removed, and whether it may go.
#pragma once

#include "machined/store.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {

// `wanted`: one of its names, or the beginning of its id. NOT_FOUND; INVALID_ARGUMENT for what begins several;
// FAILED_PRECONDITION for one that is pinned, or that containers use unless `force`. Owner thread.
absl::StatusOr<resource::v1::Image> ImageToRemove(const Store& store, absl::string_view wanted, bool force);

}  // namespace stele::machined
