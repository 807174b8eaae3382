// Pressure stall information, of the node and of control groups alike (Documentation/accounting/psi.rst).
#pragma once

#include "absl/strings/string_view.h"
#include "stele/resource/v1/kernel.pb.h"

namespace stele::machined {

// From the text of a pressure file; what it does not say stays 0.
resource::v1::Pressure ParsePressure(absl::string_view text);

}  // namespace stele::machined
