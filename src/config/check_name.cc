#include "config/check_name.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "config/check_address.h"

namespace stele::config {
namespace {

bool IsLowerOrDigit(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }

bool IsLabel(absl::string_view label) {
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         std::all_of(label.begin(), label.end(), [](char c) { return IsLowerOrDigit(c) || c == '-'; });
}

bool IsDnsName(absl::string_view name) {
  std::vector<absl::string_view> labels = absl::StrSplit(name, '.');
  return name.size() <= 253 && std::all_of(labels.begin(), labels.end(), IsLabel);
}

// Names and values of Kubernetes labels: letters, digits, -, _ and ., the first and last a letter or digit.
bool IsQualified(absl::string_view text) {
  return text.size() <= 63 && absl::ascii_isalnum(text.front()) && absl::ascii_isalnum(text.back()) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(c) || absl::StrContains("-_.", absl::string_view(&c, 1));
         });
}

bool Within(absl::string_view domain, absl::string_view parent) {
  return domain == parent || absl::EndsWith(domain, absl::StrCat(".", parent));
}

// In these domains a kubelet ends when told to give itself any other label.
constexpr absl::string_view kAllowedNames[] = {"kubernetes.io/hostname",
                                               "kubernetes.io/arch",
                                               "kubernetes.io/os",
                                               "beta.kubernetes.io/arch",
                                               "beta.kubernetes.io/os",
                                               "beta.kubernetes.io/instance-type",
                                               "node.kubernetes.io/instance-type",
                                               "topology.kubernetes.io/region",
                                               "topology.kubernetes.io/zone",
                                               "failure-domain.beta.kubernetes.io/region",
                                               "failure-domain.beta.kubernetes.io/zone"};

bool KubeletRefuses(absl::string_view name, absl::string_view domain) {
  if (!Within(domain, "kubernetes.io") && !Within(domain, "k8s.io")) return false;
  if (Within(domain, "kubelet.kubernetes.io") || Within(domain, "node.kubernetes.io")) return false;
  return std::find(std::begin(kAllowedNames), std::end(kAllowedNames), name) == std::end(kAllowedNames);
}

}  // namespace

std::string CheckDnsName(absl::string_view name) {
  if (IsDnsName(name)) return "";
  return "expected an RFC 1123 name: labels of a-z, 0-9 and -, joined by dots";
}

std::string CheckDnsLabel(absl::string_view name) {
  return IsLabel(name) ? "" : "expected at most 63 of a-z, 0-9 and -, not beginning or ending with -";
}

std::string CheckLinkName(absl::string_view name) {
  bool good = !name.empty() && name.size() <= 15 && name != "." && name != ".." && name != "lo" &&
              std::all_of(name.begin(), name.end(), [](char c) {
                return absl::ascii_isgraph(c) && !absl::StrContains("/:,%", absl::string_view(&c, 1));
              });
  return good ? "" : "expected a link's name, such as eth0: at most 15 letters, and not lo";
}

std::string CheckHost(absl::string_view host) {
  return IsAddress(host) || IsDnsName(host) ? "" : "expected a host name or an address";
}

std::string CheckDiskPath(absl::string_view path) {
  std::vector<absl::string_view> parts = absl::StrSplit(path, '/');
  bool good = absl::StartsWith(path, "/dev/") && parts.size() > 2;
  for (size_t i = 1; i < parts.size(); ++i) good = good && !parts[i].empty() && parts[i] != "." && parts[i] != "..";
  return good ? "" : "expected a disk's device, such as /dev/vda or /dev/disk/by-id/…";
}

std::string CheckDiskIdentity(absl::string_view text) {
  bool good = text.size() <= 128 && text == absl::StripAsciiWhitespace(text);
  for (char c : text) good = good && absl::ascii_isprint(c);
  return good ? "" : "expected at most 128 printable characters, without spaces around them";
}

std::string CheckNodeLabelName(absl::string_view name) {
  std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(name, absl::MaxSplits('/', 1));
  bool has_domain = absl::StrContains(name, "/");
  absl::string_view domain = has_domain ? parts.first : "", word = has_domain ? parts.second : parts.first;
  if (word.empty() || !IsQualified(word) || (has_domain && !IsDnsName(domain))) {
    return "expected a label's name, such as example.com/rack";
  }
  if (KubeletRefuses(name, domain)) return absl::StrCat("a kubelet may not label its own node within ", domain);
  return "";
}

std::string CheckLabelValue(absl::string_view value) {
  return value.empty() || IsQualified(value) ? "" : "expected a label's value: at most 63 letters, digits, -, _ and .";
}

std::string CheckHttpsUrl(absl::string_view url) {
  constexpr char kExpected[] = "expected https://host or https://host:port";
  if (!absl::ConsumePrefix(&url, "https://")) return kExpected;
  absl::ConsumeSuffix(&url, "/");
  absl::string_view host = url, port = "443";
  size_t colon = url.rfind(':');
  if (colon != absl::string_view::npos && !absl::EndsWith(url, "]")) {
    host = url.substr(0, colon);
    port = url.substr(colon + 1);
  }
  bool bracketed = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  uint32_t number = 0;
  bool good_port =
      !port.empty() && absl::ascii_isdigit(port[0]) && absl::SimpleAtoi(port, &number) && number > 0 && number < 65536;
  bool good_host = bracketed ? IsAddress6(host) : (IsDnsName(host) || IsAddress4(host));
  return good_host && good_port ? "" : kExpected;
}

std::string CheckBootstrapToken(absl::string_view token) {
  bool good = token.size() == 23 && token[6] == '.';
  for (size_t i = 0; good && i < token.size(); ++i) good = i == 6 || IsLowerOrDigit(token[i]);
  return good ? "" : "expected a bootstrap token: six letters or digits, a dot, and sixteen more";
}

}  // namespace stele::config
