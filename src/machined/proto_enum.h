// Enums as the protos name them.
#pragma once

#include "absl/strings/strip.h"
#include "google/protobuf/descriptor.h"

namespace stele::machined {

// RUNNING of SERVICE_STATE_RUNNING. The zero value is the prefix and UNSPECIFIED, by which the prefix is found.
inline absl::string_view ShortName(const google::protobuf::EnumValueDescriptor* value) {
  absl::string_view zero = value->type()->value(0)->name();
  return absl::StripPrefix(value->name(), zero.substr(0, zero.rfind('_') + 1));
}

}  // namespace stele::machined
