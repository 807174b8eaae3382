// Which client certificates the node takes no more, as data. A file has a line for each: serial number, when it was
// revoked, when it ends by itself (0: unknown), subject, reason, by whom; between them tabs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/status.h"

namespace stele::machined {

struct Revocation {
  absl::Time revoked;
  absl::Time not_after = absl::InfiniteFuture();  // that is: not known
  std::string subject, reason, by;
};

// Hexadecimal, lower case, without colons and leading zeros, as apid compares it. INVALID_ARGUMENT for anything else.
absl::StatusOr<std::string> CanonicalSerial(absl::string_view serial);

class RevocationList {
 public:
  static constexpr size_t kMost = 4'096;
  static constexpr size_t kMaxText = 200;  // of subject, reason and by

  // The lines that can be understood; `passed_over` counts the others.
  static RevocationList Parse(absl::string_view file, size_t* passed_over);
  std::string File() const;
  // What apid reads: a serial number a line.
  std::string Serials() const;

  // By serial number, which must be a canonical one. ALREADY_EXISTS; RESOURCE_EXHAUSTED where it is full of
  // certificates that have not ended by `now`: else those that have are forgotten.
  absl::Status Add(const std::string& serial, Revocation revocation, absl::Time now);
  // Adds those of `other` that are not here. True when there were such.
  bool Merge(const RevocationList& other);
  const std::map<std::string, Revocation>& all() const { return all_; }

 private:
  std::map<std::string, Revocation> all_;
};

}  // namespace stele::machined
