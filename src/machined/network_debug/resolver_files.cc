#include "machined/network_debug/resolver_files.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxServers = 3, kMaxSearch = 6;
constexpr uint16_t kDnsPort = 53;

std::vector<absl::string_view> Words(absl::string_view line) {
  line = line.substr(0, line.find_first_of("#;"));
  return absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
}

// Calls `each` with every line's address and names.
template <typename Each>
void ForEachHost(absl::string_view hosts, const Each& each) {
  for (absl::string_view line : absl::StrSplit(hosts, '\n')) {
    std::vector<absl::string_view> words = Words(line);
    if (words.size() < 2) continue;
    absl::StatusOr<SocketAddress> address = ParseAddress(words[0], 0);
    if (!address.ok()) continue;
    words.erase(words.begin());
    each(*address, words);
  }
}

}  // namespace

Resolver ParseResolvConf(absl::string_view text) {
  Resolver resolver;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::vector<absl::string_view> words = Words(line);
    if (words.size() < 2) continue;
    if (words[0] == "nameserver" && resolver.servers.size() < kMaxServers) {
      absl::StatusOr<SocketAddress> server = ParseAddress(words[1], kDnsPort);
      if (server.ok()) resolver.servers.push_back(*server);
    } else if (words[0] == "search" || words[0] == "domain") {
      resolver.search.clear();
      for (size_t i = 1; i < words.size() && i <= kMaxSearch; ++i) resolver.search.emplace_back(words[i]);
    } else if (words[0] == "options") {
      for (absl::string_view word : words) {
        uint32_t dots = 0;
        if (absl::ConsumePrefix(&word, "ndots:") && absl::SimpleAtoi(word, &dots)) resolver.dots = std::min(dots, 15u);
      }
    }
  }
  return resolver;
}

std::vector<SocketAddress> HostsAddresses(absl::string_view hosts, absl::string_view name) {
  absl::ConsumeSuffix(&name, ".");
  std::vector<SocketAddress> found;
  ForEachHost(hosts, [&](const SocketAddress& address, const std::vector<absl::string_view>& names) {
    bool known = std::any_of(names.begin(), names.end(),
                             [name](absl::string_view one) { return absl::EqualsIgnoreCase(one, name); });
    if (known) found.push_back(address);
  });
  return found;
}

std::vector<std::string> HostsNames(absl::string_view hosts, const SocketAddress& address) {
  std::vector<std::string> found;
  ForEachHost(hosts, [&](const SocketAddress& one, const std::vector<absl::string_view>& names) {
    if (one.family() != address.family() || one.bytes() != address.bytes()) return;
    for (absl::string_view name : names) found.emplace_back(name);
  });
  return found;
}

std::vector<std::string> CandidatesOf(absl::string_view name, const Resolver& resolver) {
  if (absl::ConsumeSuffix(&name, ".")) return {std::string(name)};
  std::vector<std::string> candidates;
  for (const std::string& suffix : resolver.search) {
    candidates.push_back(absl::StrCat(name, ".", absl::StripSuffix(suffix, ".")));
  }
  bool first = std::count(name.begin(), name.end(), '.') >= static_cast<ptrdiff_t>(resolver.dots);
  candidates.insert(first ? candidates.begin() : candidates.end(), std::string(name));
  return candidates;
}

}  // namespace stele::machined
