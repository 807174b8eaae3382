#include "machined/network_debug/dns_message.h"

#include <ares.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "machined/ip_prefix.h"

namespace stele::machined {
namespace {

constexpr size_t kHeader = 12;
constexpr int kInternet = 1;
constexpr int kUdpSize = 1232;  // what passes everywhere in one piece (DNS flag day 2020)
constexpr size_t kMaxRecords = 256;
constexpr size_t kMaxName = 253;

// Reads on; once past the end everything is zero and ok() false.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}

  uint32_t Number(size_t size) {
    uint32_t value = 0;
    for (char c : Take(size)) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  }
  absl::string_view Take(size_t size) {
    if (!ok_ || size > bytes_.size() - at_) {
      ok_ = false;
      return {};
    }
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  // Labels are escaped as in zone files, so no byte of a name steers a terminal.
  std::string Name() {
    std::string name;
    size_t used = NameAt(at_, &name);
    ok_ = ok_ && used != 0;
    at_ += used;
    return name;
  }
  // A name within data that was taken, `size` bytes ago.
  std::string NameBefore(size_t size) {
    std::string name;
    size_t used = ok_ ? NameAt(at_ - size, &name) : 0;
    if (used == 0 || used > size) ok_ = false;
    return name;
  }
  bool ok() const { return ok_; }

 private:
  size_t NameAt(size_t at, std::string* name) {
    if (!ok_ || at >= bytes_.size()) return 0;
    char* text = nullptr;
    long used = 0;
    const auto* begin = reinterpret_cast<const unsigned char*>(bytes_.data());
    int status = ares_expand_name(begin + at, begin, static_cast<int>(bytes_.size()), &text, &used);
    if (status != ARES_SUCCESS) return 0;
    *name = text;
    ares_free_string(text);
    if (used <= 0 || static_cast<size_t>(used) > bytes_.size() - at) return 0;
    return static_cast<size_t>(used);
  }

  absl::string_view bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

std::string Printable(std::string text) {
  for (char& c : text) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return text;
}

DnsAnswer::Record ReadRecord(Reader& reader) {
  DnsAnswer::Record record;
  record.name = Printable(reader.Name());
  record.type = static_cast<uint16_t>(reader.Number(2));
  bool internet = reader.Number(2) == kInternet;
  record.ttl = reader.Number(4);
  size_t size = reader.Number(2);
  absl::string_view data = reader.Take(size);
  if (!reader.ok()) return record;
  bool name =
      record.type == static_cast<uint16_t>(DnsType::kCname) || record.type == static_cast<uint16_t>(DnsType::kPtr);
  bool v4 = record.type == static_cast<uint16_t>(DnsType::kA) && size == 4;
  bool v6 = record.type == static_cast<uint16_t>(DnsType::kAaaa) && size == 16;
  if (internet && name) {
    record.data = Printable(reader.NameBefore(size));
  } else if (internet && (v4 || v6)) {
    record.bytes = std::string(data);
    record.data = FormatIpAddress(data);
  } else {
    record.data = absl::StrCat(size, " bytes");
  }
  return record;
}

}  // namespace

std::string DnsTypeName(uint16_t type) {
  switch (type) {
    case static_cast<uint16_t>(DnsType::kA):
      return "A";
    case static_cast<uint16_t>(DnsType::kCname):
      return "CNAME";
    case static_cast<uint16_t>(DnsType::kPtr):
      return "PTR";
    case static_cast<uint16_t>(DnsType::kAaaa):
      return "AAAA";
    default:
      return absl::StrCat("TYPE", type);
  }
}

std::string DnsCodeName(int code) {
  static constexpr const char* kNames[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
  if (code >= 0 && code < static_cast<int>(std::size(kNames))) return kNames[code];
  return absl::StrCat("RCODE", code);
}

absl::StatusOr<std::string> DnsQuestion(const std::string& name, DnsType type, uint16_t id) {
  bool printable = std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f && c != '\\'; });
  if (name.empty() || name.size() > kMaxName || !printable) {
    return absl::InvalidArgumentError(absl::StrCat(Printable(name.substr(0, kMaxName)), ": not a host name"));
  }
  unsigned char* bytes = nullptr;
  int size = 0;
  int status =
      ares_create_query(name.c_str(), kInternet, static_cast<int>(type), id, /*rd=*/1, &bytes, &size, kUdpSize);
  if (status != ARES_SUCCESS) return absl::InvalidArgumentError(absl::StrCat(name, ": not a host name"));
  std::string question(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
  ares_free_string(bytes);
  return question;
}

absl::StatusOr<DnsAnswer> ParseDnsAnswer(absl::string_view bytes, const std::string& name, DnsType type, uint16_t id) {
  Reader reader(bytes);
  bool ours = reader.Number(2) == id;
  uint32_t flags = reader.Number(2);
  uint32_t questions = reader.Number(2);
  uint32_t records = reader.Number(2);
  reader.Take(kHeader - 8);
  if (!reader.ok() || !ours || (flags & 0x8000) == 0)
    return absl::InvalidArgumentError("not an answer to the question");
  DnsAnswer answer;
  answer.code = static_cast<int>(flags & 15);
  answer.truncated = (flags & 0x0200) != 0;
  // Some servers leave the question out when they refuse.
  if (questions == 0 && answer.code != kNoError) return answer;
  std::string asked = reader.Name();
  bool same_type = reader.Number(2) == static_cast<uint32_t>(type);
  bool same_class = reader.Number(2) == kInternet;
  if (!reader.ok() || questions != 1 || !same_type || !same_class ||
      !absl::EqualsIgnoreCase(absl::StripSuffix(asked, "."), absl::StripSuffix(name, "."))) {
    return absl::InvalidArgumentError("an answer to another question");
  }
  for (uint32_t i = 0; i < records && answer.records.size() < kMaxRecords; ++i) {
    DnsAnswer::Record record = ReadRecord(reader);
    if (!reader.ok()) {
      if (answer.truncated) break;
      return absl::InvalidArgumentError("a broken answer");
    }
    answer.records.push_back(std::move(record));
  }
  return answer;
}

std::string ReverseName(absl::string_view address) {
  std::string name;
  for (auto byte = address.rbegin(); byte != address.rend(); ++byte) {
    int value = static_cast<uint8_t>(*byte);
    if (address.size() == 4) {
      absl::StrAppend(&name, value, ".");
    } else {
      absl::StrAppendFormat(&name, "%x.%x.", value & 15, value >> 4);
    }
  }
  return absl::StrCat(name, address.size() == 4 ? "in-addr.arpa" : "ip6.arpa");
}

}  // namespace stele::machined
