#include "machined/security/revocation_list.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace stele::machined {
namespace {

// RFC 5280 allows 20 octets; some authorities take a sign octet more.
constexpr size_t kMaxDigits = 42;

std::string Field(absl::string_view text) { return absl::CEscape(text.substr(0, RevocationList::kMaxText)); }

}  // namespace

absl::StatusOr<std::string> CanonicalSerial(absl::string_view serial) {
  std::string digits;
  for (char c : serial) {
    if (c == ':') continue;
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c)) || digits.size() == kMaxDigits + 2) {
      digits.clear();
      break;
    }
    digits += absl::ascii_tolower(static_cast<unsigned char>(c));
  }
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.empty() || digits.size() > kMaxDigits) {
    return absl::InvalidArgumentError("expected a certificate's serial number, hexadecimal, as `osctl audit` shows it");
  }
  return digits;
}

RevocationList RevocationList::Parse(absl::string_view file, size_t* passed_over) {
  RevocationList list;
  *passed_over = 0;
  for (absl::string_view line : absl::StrSplit(file, '\n', absl::SkipEmpty())) {
    std::vector<std::string> fields = absl::StrSplit(line, '\t');
    absl::StatusOr<std::string> serial = CanonicalSerial(fields[0]);
    if (!serial.ok()) {
      ++*passed_over;
      continue;
    }
    // A line whose serial number is whole counts, whatever became of the rest.
    fields.resize(6);
    Revocation revocation;
    int64_t revoked = 0, not_after = 0;
    if (absl::SimpleAtoi(fields[1], &revoked)) revocation.revoked = absl::FromUnixSeconds(revoked);
    if (absl::SimpleAtoi(fields[2], &not_after) && not_after != 0) {
      revocation.not_after = absl::FromUnixSeconds(not_after);
    }
    absl::CUnescape(fields[3], &revocation.subject);
    absl::CUnescape(fields[4], &revocation.reason);
    absl::CUnescape(fields[5], &revocation.by);
    list.all_.emplace(*serial, std::move(revocation));
  }
  return list;
}

std::string RevocationList::File() const {
  std::string text;
  for (const auto& [serial, one] : all_) {
    int64_t not_after = one.not_after == absl::InfiniteFuture() ? 0 : absl::ToUnixSeconds(one.not_after);
    absl::StrAppend(&text, serial, "\t", absl::ToUnixSeconds(one.revoked), "\t", not_after, "\t", Field(one.subject),
                    "\t", Field(one.reason), "\t", Field(one.by), "\n");
  }
  return text;
}

std::string RevocationList::Serials() const {
  std::string text;
  for (const auto& [serial, one] : all_) absl::StrAppend(&text, serial, "\n");
  return text;
}

absl::Status RevocationList::Add(const std::string& serial, Revocation revocation, absl::Time now) {
  if (all_.count(serial) > 0) return absl::AlreadyExistsError("it was revoked before");
  if (all_.size() >= kMost) {
    // Not sooner: a clock that goes wrong for a while must give nobody his certificate back.
    for (auto it = all_.begin(); it != all_.end();) it = it->second.not_after < now ? all_.erase(it) : std::next(it);
  }
  if (all_.size() >= kMost) {
    return absl::ResourceExhaustedError(absl::StrCat(
        kMost, " certificates are revoked, and no more can be: replace the client CA (docs/security-api.md)"));
  }
  all_.emplace(serial, std::move(revocation));
  return absl::OkStatus();
}

bool RevocationList::Merge(const RevocationList& other) {
  size_t before = all_.size();
  all_.insert(other.all_.begin(), other.all_.end());
  return all_.size() > before;
}

}  // namespace stele::machined
