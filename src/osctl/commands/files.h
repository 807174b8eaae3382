// What the commands about a node's files share: ls, read, du, archive.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "osctl/output/value.h"
#include "osctl/session.h"
#include "stele/machine/v1/file_service.pb.h"

namespace stele::osctl {

// A failed call's status with a next step that fits files.
absl::Status FileFailure(absl::Status status);

// "3 left out, for a higher role: /etc/x and others".
std::string OmissionText(const stele::machine::v1::Omission& omission);

// One line on stderr for each omission.
template <typename Omissions>
void TellOmissions(Session& session, const Node& node, const Omissions& omissions) {
  for (const auto& omission : omissions) session.Tell(node, OmissionText(omission));
}

// For -o json and yaml: the message's fields, behind `node` unless that is empty.
Value NamedValue(absl::string_view node, const google::protobuf::Message& message);

// What a node says, for stderr: control characters become '?'.
std::string PlainText(absl::string_view text);

}  // namespace stele::osctl
