// What ping, traceroute, resolve, probe and capture share.
#pragma once

#include <google/protobuf/duration.pb.h>

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "osctl/command.h"
#include "osctl/output/value.h"
#include "osctl/session.h"
#include "stele/machine/v1/network_service.pb.h"

namespace stele::osctl {

struct FamilyOptions {
  bool ipv4 = false;
  bool ipv6 = false;
};
// -4, -6.
void AddFamilyArguments(FamilyOptions* options, std::vector<Argument>* arguments);
absl::StatusOr<stele::machine::v1::IpFamily> FamilyOf(const FamilyOptions& options);

// -I.
Argument SourceArgument(std::string* source);

inline absl::Duration FromProtoDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}
inline void ToProtoDuration(absl::Duration duration, google::protobuf::Duration* out) {
  int64_t ns = absl::ToInt64Nanoseconds(duration);
  out->set_seconds(ns / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(ns % 1'000'000'000));
}

// What a node sent, without control characters: it never steers the terminal.
std::string Plain(absl::string_view text);

// `message` as json or yaml, with the node's name before its fields when there are several.
std::string StructuredOf(Session& session, const Node& node, const google::protobuf::Message& message,
                         const std::string& format);

// Nothing answered: exit code 1.
absl::Status NothingAnswered(absl::string_view why);

}  // namespace stele::osctl
