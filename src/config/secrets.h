// Secrets in texts and messages: hidden for showing, and put back where a text that was shown comes back.
//
// Fields marked (secret) in the proto are secrets. A text shows each as kSecretMark; where such a text is given back,
// the secret is that of the same path, and an element of a list is found again by its `name` where it has one. No state
// is kept; any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "config/problem.h"
#include "config/yaml_to_proto.h"
#include "google/protobuf/message.h"

namespace stele::config {

// `yaml`, which must be a good text for `type`, with its secrets hidden and all else, comments too, as written. A text
// with a problem or an unknown key is not shown as written, since nobody knows what in it is secret: then empty.
std::string HideSecrets(absl::string_view yaml, const google::protobuf::Message& type);

struct RestoredText {
  std::string yaml;
  std::vector<Problem> problems;  // hidden secrets that nothing is known of
};

// `yaml` with hidden secrets put back from `base`; its lines stay where they are. A text that is broken comes back as
// it is: the parser tells.
RestoredText RestoreSecrets(absl::string_view yaml, const google::protobuf::Message& base);

// The two as canonical YAML to be compared: secrets hidden, and in `after` those that differ told as
// "(secret, changed)".
struct ComparableTexts {
  std::string before, after;
};
ComparableTexts ToComparable(const google::protobuf::Message& before, const google::protobuf::Message& after);

}  // namespace stele::config
