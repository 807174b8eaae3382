// "state=running,pid!=0": conditions on a resource, as ListRequest.field_selector has them.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "google/protobuf/message.h"

namespace stele::machined {

class FieldSelector {
 public:
  // Fits everything.
  FieldSelector() = default;
  // Of a type's message. INVALID_ARGUMENT names the field that there is not, and the one that may be meant.
  static absl::StatusOr<FieldSelector> Parse(absl::string_view text, const google::protobuf::Descriptor* type);

  bool Fits(absl::string_view id, absl::string_view owner, const google::protobuf::Message& body) const;
  bool empty() const { return conditions_.empty(); }

 private:
  struct Condition {
    std::string name;                                              // "id" or "owner", else
    std::vector<const google::protobuf::FieldDescriptor*> fields;  // from the body downwards
    std::string value;
    bool negated = false;
  };
  std::vector<Condition> conditions_;
};

}  // namespace stele::machined
