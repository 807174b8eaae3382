// May this role call this method? The table is generated from the protos.
#pragma once

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "stele/method_table.h"

namespace stele {

// The table's row; nullptr for a path that is no method of ours.
const Method* FindMethod(absl::string_view path);

// UNIMPLEMENTED for an unknown method, PERMISSION_DENIED where the role does not reach.
absl::Status Authorize(Role role, absl::string_view path);

}  // namespace stele
