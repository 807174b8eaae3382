#include "osctl/failure.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"

namespace stele::osctl {
namespace {

constexpr char kExitPayload[] = "stele.osctl/exit";
constexpr char kNextPayload[] = "stele.osctl/next";

struct Meaning {
  ExitCode exit;
  absl::string_view next;
};

// What a status from a node means where nobody said more.
Meaning MeaningOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return {ExitCode::kOk, ""};
    case absl::StatusCode::kUnavailable:
      return {ExitCode::kUnreachable, "try again, or look at the node's console"};
    case absl::StatusCode::kDeadlineExceeded:
      return {ExitCode::kUnreachable, "try again with a longer --timeout"};
    case absl::StatusCode::kUnauthenticated:
      return {ExitCode::kAuthentication, "use a context whose certificate the node's client CA signed"};
    case absl::StatusCode::kPermissionDenied:
      return {ExitCode::kPermission, "use a context whose certificate has a higher role"};
    case absl::StatusCode::kNotFound:
      return {ExitCode::kNotFound, ""};
    case absl::StatusCode::kUnimplemented:
      return {ExitCode::kFailed, "the node is older than this osctl: compare `osctl version`"};
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDataLoss:
    default:
      return {ExitCode::kFailed, ""};
  }
}

}  // namespace

absl::Status Failure(absl::StatusCode code, ExitCode exit, absl::string_view why, absl::string_view next) {
  return WithExit(absl::Status(code, why), exit, next);
}

absl::Status UsageError(absl::string_view why, absl::string_view next) {
  return Failure(absl::StatusCode::kInvalidArgument, ExitCode::kUsage, why, next);
}

absl::Status LocalError(absl::string_view why, absl::string_view next) {
  return Failure(absl::StatusCode::kFailedPrecondition, ExitCode::kLocal, why, next);
}

absl::Status WithExit(absl::Status status, ExitCode exit, absl::string_view next) {
  status.SetPayload(kExitPayload, absl::Cord(absl::StrCat(static_cast<int>(exit))));
  if (!next.empty()) status.SetPayload(kNextPayload, absl::Cord(next));
  return status;
}

ExitCode ExitCodeOf(const absl::Status& status) {
  auto payload = status.GetPayload(kExitPayload);
  int code = 0;
  if (payload.has_value() && absl::SimpleAtoi(std::string(*payload), &code)) return static_cast<ExitCode>(code);
  return MeaningOf(status.code()).exit;
}

std::string NextStepOf(const absl::Status& status) {
  auto payload = status.GetPayload(kNextPayload);
  if (payload.has_value()) return std::string(*payload);
  // Advice about nodes does not fit a failure that somebody classified otherwise.
  Meaning meaning = MeaningOf(status.code());
  return ExitCodeOf(status) == meaning.exit ? std::string(meaning.next) : "";
}

std::string FailureLine(absl::string_view node, const absl::Status& status) {
  std::string line = "osctl: ";
  if (!node.empty()) absl::StrAppend(&line, node, ": ");
  std::string next = NextStepOf(status);
  absl::StrAppend(&line, status.message().empty() ? absl::StatusCodeToString(status.code()) : status.message());
  if (!next.empty()) absl::StrAppend(&line, "; ", next);
  return absl::StrCat(absl::StrReplaceAll(line, {{"\r", ""}, {"\n", "; "}}), "\n");
}

}  // namespace stele::osctl
