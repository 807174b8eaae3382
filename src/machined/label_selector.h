// "app=web,tier in (front,back),!canary": conditions on a resource's labels, as ListRequest.label_selector has them and
// as kubectl's -l does.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "google/protobuf/message.h"

namespace stele::machined {

class LabelSelector {
 public:
  // Fits everything.
  LabelSelector() = default;
  // Of a type's message. INVALID_ARGUMENT says what was expected where, or that the type has no labels.
  static absl::StatusOr<LabelSelector> Parse(absl::string_view text, const google::protobuf::Descriptor* type);

  bool Fits(const google::protobuf::Message& body) const;

 private:
  struct Requirement {
    std::string key;
    std::vector<std::string> values;  // none: whether the key is there is all that counts
    bool negated = false;             // also fits where the key is not there
  };
  std::vector<Requirement> requirements_;
  const google::protobuf::FieldDescriptor* labels_ = nullptr;  // of the body: map<string, string>
};

}  // namespace stele::machined
