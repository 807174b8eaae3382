// Words to trees.
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "machined/network_debug/packet_filter.h"

namespace stele::machined {
namespace {

constexpr int kMaxDepth = 32;  // of parentheses and nots

struct Word {
  absl::string_view text;  // empty: the end
  size_t column = 0;       // from 1
};

bool IsParenthesis(char c) { return c == '(' || c == ')'; }
bool EndsWord(char c) { return absl::ascii_isspace(static_cast<unsigned char>(c)) || IsParenthesis(c) || c == '!'; }

std::vector<Word> WordsOf(absl::string_view text) {
  std::vector<Word> words;
  for (size_t at = 0; at < text.size();) {
    if (absl::ascii_isspace(static_cast<unsigned char>(text[at]))) {
      ++at;
      continue;
    }
    size_t end = at + 1;
    if (!IsParenthesis(text[at]) && text[at] != '!') {
      while (end < text.size() && !EndsWord(text[end])) ++end;
    }
    words.push_back({text.substr(at, end - at), at + 1});
    at = end;
  }
  words.push_back({{}, text.size() + 1});
  return words;
}

FilterPtr EitherIp(uint8_t protocol) { return Or(IpProtocol(AF_INET, protocol), IpProtocol(AF_INET6, protocol)); }

struct Protocol {
  absl::string_view name;
  FilterPtr (*make)();
  std::vector<Transport> transports = {};  // where ports may follow
};

const std::vector<Protocol>& Protocols() {
  static const auto* table = new std::vector<Protocol>{
      {"ip", [] { return EtherType(ETH_P_IP); }},
      {"ip6", [] { return EtherType(ETH_P_IPV6); }},
      {"arp", [] { return EtherType(ETH_P_ARP); }},
      {"tcp", [] { return EitherIp(IPPROTO_TCP); }, {Transport::kTcp}},
      {"udp", [] { return EitherIp(IPPROTO_UDP); }, {Transport::kUdp}},
      {"sctp", [] { return EitherIp(IPPROTO_SCTP); }, {Transport::kSctp}},
      {"icmp", [] { return IpProtocol(AF_INET, IPPROTO_ICMP); }},
      {"icmp6", [] { return IpProtocol(AF_INET6, IPPROTO_ICMPV6); }},
  };
  return *table;
}

class Parser {
 public:
  explicit Parser(absl::string_view text) : words_(WordsOf(text)) {}

  absl::StatusOr<FilterPtr> Run() {
    ASSIGN_OR_RETURN(FilterPtr filter, Chain(0));
    if (!Next().text.empty()) return Wrong(Next(), "expected and, or, or the end");
    return filter;
  }

 private:
  const Word& Next() const { return words_[at_]; }
  bool Take(absl::string_view text) {
    if (Next().text != text) return false;
    ++at_;
    return true;
  }

  static absl::Status Wrong(const Word& word, absl::string_view expected) {
    std::string found = word.text.empty() ? "the end" : absl::StrCat("'", word.text, "'");
    return absl::InvalidArgumentError(absl::StrCat("filter, column ", word.column, ": ", found, ": ", expected));
  }

  absl::StatusOr<FilterPtr> Chain(int depth) {
    ASSIGN_OR_RETURN(FilterPtr filter, Factor(depth));
    absl::string_view chain;  // "and" or "or", once there was one
    while (true) {
      const Word word = Next();
      absl::string_view joint;
      if (Take("and") || Take("&&")) joint = "and";
      if (joint.empty() && (Take("or") || Take("||"))) joint = "or";
      if (joint.empty()) return filter;
      // tcpdump takes them from left to right, most languages "and" first: here nobody has to know.
      if (!chain.empty() && chain != joint) return Wrong(word, "and and or together need parentheses");
      chain = joint;
      ASSIGN_OR_RETURN(FilterPtr right, Factor(depth));
      filter = joint == "and" ? And(std::move(filter), std::move(right)) : Or(std::move(filter), std::move(right));
    }
  }

  absl::StatusOr<FilterPtr> Factor(int depth) {
    if (depth > kMaxDepth) return Wrong(Next(), "nested too deeply");
    if (Take("not") || Take("!")) {
      ASSIGN_OR_RETURN(FilterPtr filter, Factor(depth + 1));
      return Not(std::move(filter));
    }
    if (Take("(")) {
      ASSIGN_OR_RETURN(FilterPtr filter, Chain(depth + 1));
      if (!Take(")")) return Wrong(Next(), "expected )");
      return filter;
    }
    return Primitive();
  }

  absl::StatusOr<FilterPtr> Primitive() {
    const Word first = Next();
    const Protocol* protocol = nullptr;
    for (const Protocol& one : Protocols()) {
      if (protocol == nullptr && Take(one.name)) protocol = &one;
    }
    Direction direction = Direction::kEither;
    bool directed = true;
    if (Take("src")) {
      direction = Direction::kSource;
    } else if (Take("dst")) {
      direction = Direction::kDestination;
    } else {
      directed = false;
    }
    if (Take("host")) return Within(protocol, Address(direction, /*network=*/false));
    if (Take("net")) return Within(protocol, Address(direction, /*network=*/true));
    if (Take("port")) return Port(protocol, direction);
    if (Take("portrange")) return Range(protocol, direction);
    if (!directed && Take("proto")) return Number(protocol);
    if (directed) return Wrong(Next(), "expected host, net, port or portrange");
    if (protocol != nullptr) return protocol->make();
    return Wrong(
        first,
        "expected ip, ip6, arp, tcp, udp, sctp, icmp, icmp6, src, dst, host, net, port, portrange, proto, not or (");
  }

  static absl::StatusOr<FilterPtr> Within(const Protocol* protocol, absl::StatusOr<FilterPtr> filter) {
    if (!filter.ok() || protocol == nullptr) return filter;
    return And(protocol->make(), *std::move(filter));
  }

  absl::StatusOr<FilterPtr> Address(Direction direction, bool network) {
    const Word word = Next();
    const char* expected = network ? "expected a network: 10.0.0.0/8" : "expected an address (names are not looked up)";
    if (word.text.empty()) return Wrong(word, expected);
    absl::StatusOr<IpPrefix> prefix = ParseIpPrefix(word.text);
    if (!prefix.ok()) return Wrong(word, expected);
    bool whole = prefix->length == prefix->bytes.size() * 8;
    if (!network && !whole) return Wrong(word, "of a network: say net, or leave its length");
    if (!(NetworkOf(*prefix) == *prefix))
      return Wrong(word, absl::StrCat("expected ", FormatIpPrefix(NetworkOf(*prefix))));
    ++at_;
    return Network(direction, *prefix);
  }

  static absl::Status NoPorts(const Word& word, const Protocol* protocol) {
    return Wrong(word, absl::StrCat(protocol->name, " has no ports"));
  }
  static std::vector<Transport> TransportsOf(const Protocol* protocol) {
    if (protocol == nullptr) return {Transport::kTcp, Transport::kUdp, Transport::kSctp};
    return protocol->transports;
  }

  absl::StatusOr<FilterPtr> Port(const Protocol* protocol, Direction direction) {
    const Word word = Next();
    if (TransportsOf(protocol).empty()) return NoPorts(words_[at_ - 1], protocol);
    uint32_t port = 0;
    if (!absl::SimpleAtoi(word.text, &port) || port > 65535) return Wrong(word, "expected a port's number");
    ++at_;
    return Ports(TransportsOf(protocol), direction, static_cast<uint16_t>(port), static_cast<uint16_t>(port));
  }

  absl::StatusOr<FilterPtr> Range(const Protocol* protocol, Direction direction) {
    const Word word = Next();
    if (TransportsOf(protocol).empty()) return NoPorts(words_[at_ - 1], protocol);
    std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(word.text, absl::MaxSplits('-', 1));
    uint32_t first = 0, last = 0;
    if (!absl::SimpleAtoi(ends.first, &first) || !absl::SimpleAtoi(ends.second, &last) || first > last ||
        last > 65535) {
      return Wrong(word, "expected two ports: 30000-32767");
    }
    ++at_;
    return Ports(TransportsOf(protocol), direction, static_cast<uint16_t>(first), static_cast<uint16_t>(last));
  }

  absl::StatusOr<FilterPtr> Number(const Protocol* protocol) {
    const Word word = Next();
    uint32_t number = 0;
    if (!absl::SimpleAtoi(word.text, &number) || number > 255) return Wrong(word, "expected an IP protocol's number");
    ++at_;
    uint8_t value = static_cast<uint8_t>(number);
    if (protocol == nullptr) return EitherIp(value);
    if (protocol->name == "ip") return IpProtocol(AF_INET, value);
    if (protocol->name == "ip6") return IpProtocol(AF_INET6, value);
    return Wrong(word, "proto goes with ip and ip6 only");
  }

  const std::vector<Word> words_;
  size_t at_ = 0;
};

}  // namespace

absl::StatusOr<FilterPtr> ParseFilter(absl::string_view text) {
  if (text.size() > kMaxFilterText) return absl::InvalidArgumentError("a filter has at most 1,000 bytes");
  text = absl::StripTrailingAsciiWhitespace(text);
  if (absl::StripAsciiWhitespace(text).empty()) return AnyPacket();
  return Parser(text).Run();
}

}  // namespace stele::machined
