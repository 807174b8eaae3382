#include "base/status.h"

#include <cstring>

namespace stele {

absl::Status StatusFromErrno(int error, absl::string_view doing) {
  char buffer[128];
  const char* text = strerror_r(error, buffer, sizeof buffer);  // the GNU one: returns its text
  return absl::Status(absl::ErrnoToStatusCode(error), absl::StrCat(doing, ": ", text));
}

absl::Status Annotate(const absl::Status& status, absl::string_view doing) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(doing, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) { annotated.SetPayload(url, payload); });
  return annotated;
}

}  // namespace stele
