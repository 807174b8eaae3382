// A file by http or https: wget, as a process of its own that may do nothing else (src/applets/fetch.cc), so that no
// byte of a foreign server is parsed in machined before the image's own checks.
#pragma once

#include <memory>
#include <string>

#include "base/child_process.h"
#include "machined/upgrade/remote_file.h"

namespace stele::machined {

inline constexpr size_t kMaxUrl = 2048;

// INVALID_ARGUMENT: http:// or https://, a host, printable ASCII, no user or password. Pure.
absl::Status CheckUrl(absl::string_view url);

// The URL as people may see it: without a query and a fragment, which may hold a secret.
std::string ShownUrl(absl::string_view url);

// What wget's end means (its exit code, docs/decisions/upgrade-from-url.md). OK: the file's end. Pure.
absl::Status MeaningOf(const ChildProcess::End& end);

// `ca_file`: what alone is trusted for https; "" for the image's CAs.
absl::StatusOr<std::unique_ptr<ByteStream>> OpenHttp(const std::string& fetch, const std::string& url,
                                                     const std::string& ca_file, uint64_t offset);

}  // namespace stele::machined
