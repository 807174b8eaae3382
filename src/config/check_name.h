// Names: hosts, links, labels. Each check answers what is wrong; empty when nothing is.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace stele::config {

// RFC 1123: labels of a-z, 0-9 and -, at most 63 each and 253 in all.
std::string CheckDnsName(absl::string_view name);
// One such label: it names files and Kubernetes objects.
std::string CheckDnsLabel(absl::string_view name);
// A link, as the kernel takes it.
std::string CheckLinkName(absl::string_view name);
// A host name or an address.
std::string CheckHost(absl::string_view host);
// A whole disk's device below /dev.
std::string CheckDiskPath(absl::string_view path);
// What a disk says of itself: a serial number, a model, an identifier.
std::string CheckDiskIdentity(absl::string_view text);
// A label's name that a kubelet may give its own node, and a label's value.
std::string CheckNodeLabelName(absl::string_view name);
std::string CheckLabelValue(absl::string_view value);
// https://host[:port]
std::string CheckHttpsUrl(absl::string_view url);
// abcdef.0123456789abcdef
std::string CheckBootstrapToken(absl::string_view token);

}  // namespace stele::config
