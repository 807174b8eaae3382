// One YAML scalar to one field's value.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace stele::config {

struct Scalar {
  std::string value;
  bool plain = false;  // written without quotes, so that YAML would guess a type
};

// Sets (or adds to, where repeated) `field` of `message`. Empty: done. Otherwise what was expected.
std::string StoreScalar(const Scalar& scalar, const google::protobuf::FieldDescriptor* field,
                        google::protobuf::Message* message);

// "expected a list" and the like: what a field of this type is written as.
std::string ExpectedShape(const google::protobuf::FieldDescriptor* field);

// Whether YAML 1.1 or 1.2 takes the unquoted `text` for something other than text: what Go, Python and
// we would read apart. Used both to refuse and to decide what must be quoted in print.
bool LooksTyped(absl::string_view text);

}  // namespace stele::config
