// DNS questions and answers as bytes. Pure. Names are made and read by c-ares; what comes from the network is parsed
// here and nowhere else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace stele::machined {

enum class DnsType : uint16_t { kA = 1, kCname = 5, kPtr = 12, kAaaa = 28 };

// "A"; "TYPE16" for those that we know nothing of.
std::string DnsTypeName(uint16_t type);
// "NOERROR", "NXDOMAIN"; "RCODE16".
std::string DnsCodeName(int code);

inline constexpr int kNoError = 0, kNxDomain = 3;

// INVALID_ARGUMENT for what is no name.
absl::StatusOr<std::string> DnsQuestion(const std::string& name, DnsType type, uint16_t id);

struct DnsAnswer {
  struct Record {
    std::string name;
    uint16_t type = 0;
    uint32_t ttl = 0;
    std::string data;   // for people: an address, a name, or how many bytes
    std::string bytes;  // of an address: 4 or 16
  };
  int code = 0;
  bool truncated = false;
  std::vector<Record> records;  // of the answer section, as far as it goes when truncated
};

// The answer to DnsQuestion(name, type, id). INVALID_ARGUMENT for what is none: a broken one, or another question's.
absl::StatusOr<DnsAnswer> ParseDnsAnswer(absl::string_view bytes, const std::string& name, DnsType type, uint16_t id);

// "4.3.2.1.in-addr.arpa", and likewise for 16 bytes.
std::string ReverseName(absl::string_view address);

}  // namespace stele::machined
