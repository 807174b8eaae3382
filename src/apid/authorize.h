// May this role call this method? The table is generated from the protos.
#pragma once

#include "absl/strings/string_view.h"
#include "apid/identity.h"
#include "apid/roles.h"
#include "base/status.h"
#include "stele/method_table.h"

namespace stele {

// The table's row; nullptr for a path that is no method of ours.
const Method* FindMethod(absl::string_view path);

// UNIMPLEMENTED for an unknown method, PERMISSION_DENIED where the role does not reach, or is no role any more.
absl::Status Authorize(const Identity& identity, const Roles& roles, absl::string_view path);

}  // namespace stele
