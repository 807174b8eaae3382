// How fallible functions answer: absl::Status with a line that tells the whole story.
#pragma once

#include <cerrno>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace stele {

// A status of `error` (an errno) whose text is `doing` and the error's: "open /x: No such file…".
absl::Status StatusFromErrno(int error, absl::string_view doing);

// The same from errno, which is read before the pieces are joined.
template <typename... Pieces>
absl::Status ErrnoStatus(const Pieces&... pieces) {
  int error = errno;
  return StatusFromErrno(error, absl::StrCat(pieces...));
}

// `status` with "doing: " before its text; OK stays OK.
absl::Status Annotate(const absl::Status& status, absl::string_view doing);

}  // namespace stele

#define STELE_STATUS_JOIN_(a, b) a##b
#define STELE_STATUS_JOIN(a, b) STELE_STATUS_JOIN_(a, b)

// Leaves the function with the status unless it is OK.
#define RETURN_IF_ERROR(expression)        \
  do {                                     \
    ::absl::Status status_ = (expression); \
    if (!status_.ok()) return status_;     \
  } while (false)

// ASSIGN_OR_RETURN(Type name, StatusOr expression): leaves the function with the status on failure.
#define ASSIGN_OR_RETURN(declaration, expression) \
  STELE_ASSIGN_OR_RETURN_(STELE_STATUS_JOIN(status_or_, __LINE__), declaration, expression)
#define STELE_ASSIGN_OR_RETURN_(temporary, declaration, expression) \
  auto temporary = (expression);                                    \
  if (!temporary.ok()) return temporary.status();                   \
  declaration = *std::move(temporary)
