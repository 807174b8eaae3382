// Who makes a call, for events: as apid's metadata says. Only apid and root can connect at all, and
// apid takes these names off what comes from the network.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace stele::machined {

inline std::string CallerMetadata(const grpc::CallbackServerContext& context, const char* key) {
  auto found = context.client_metadata().find(key);
  return found == context.client_metadata().end() ? "" : std::string(found->second.data(), found->second.size());
}

// "alice (admin) from 192.0.2.7:4711".
inline std::string CallerOf(const grpc::CallbackServerContext& context) {
  std::string subject = CallerMetadata(context, "stele-subject");
  if (subject.empty()) return "root on the node";
  std::string peer = CallerMetadata(context, "stele-peer");
  return absl::StrCat(subject, " (", CallerMetadata(context, "stele-role"), ")", peer.empty() ? "" : " from ", peer);
}

// How long the caller will wait, at most `most`.
inline absl::Duration TimeLeft(const grpc::CallbackServerContext& context, absl::Duration most) {
  auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return most;
  // A little earlier, so that our own words arrive and not the client's time-out.
  absl::Duration left = absl::FromChrono(deadline) - absl::Now() - absl::Milliseconds(50);
  return std::min(most, std::max(left, absl::Milliseconds(1)));
}

}  // namespace stele::machined
