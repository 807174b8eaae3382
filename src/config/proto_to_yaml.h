// A protobuf message as YAML that ParseYaml reads back.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace stele::config {

enum class Secrets {
  kRedacted,  // fields marked (secret) print as "(secret)"
  kPrinted,
};

// Keys are JSON names in the order of the fields; unset fields are left out; text of several lines is
// a literal block; text that YAML would take for something else is quoted.
std::string ProtoToYaml(const google::protobuf::Message& message, Secrets secrets);

// `text` in double quotes, on one line.
std::string QuotedYaml(absl::string_view text);

}  // namespace stele::config
