#include "machined/upgrade/http_stream.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kEndPatience = absl::Seconds(5);  // of a program that has closed its output

// wget's exit codes.
enum WgetExit { kNetwork = 4, kCertificate = 5, kLogin = 6, kProtocol = 7, kServerError = 8 };

// "ERROR 503: Service Unavailable." → 503; 0 without such a line.
int HttpStatus(absl::string_view errors) {
  int status = 0;
  size_t at = errors.rfind("ERROR ");
  if (at == absl::string_view::npos) return 0;
  return absl::SimpleAtoi(errors.substr(at + 6, 3), &status) ? status : 0;
}

// What wget said, in one line of at most 300 bytes; without the lines that repeat the URL.
std::string Told(absl::string_view errors) {
  std::string told;
  for (absl::string_view line : absl::StrSplit(errors, '\n', absl::SkipWhitespace())) {
    absl::ConsumePrefix(&line, "wget: ");
    if (absl::StrContains(line, "://")) continue;
    line = absl::StripAsciiWhitespace(line);
    size_t error = line.find("ERROR ");  // after the time
    if (error != absl::string_view::npos && absl::StartsWith(line, "20")) line.remove_prefix(error + strlen("ERROR "));
    absl::ConsumeSuffix(&line, ".");
    absl::StrAppend(&told, told.empty() ? "" : "; ", line);
  }
  for (char& c : told) c = absl::ascii_isprint(c) ? c : '?';
  return told.substr(0, 300);
}

absl::Status MeaningOfServerError(const std::string& told, int status) {
  bool passes = status == 408 || status == 429 || status >= 500;
  if (passes) return absl::UnavailableError(absl::StrCat("the server answers ", told));
  if (status == 404 || status == 410) return absl::NotFoundError(absl::StrCat("the server answers ", told));
  return absl::FailedPreconditionError(absl::StrCat(status != 0 ? "the server answers " : "", told));
}

// What GnuTLS says of a certificate. Of one that is only too old or too new, the node's clock may be what is wrong.
absl::Status MeaningOfCertificate(const std::string& told) {
  if (!absl::StrContains(told, "has expired") && !absl::StrContains(told, "not yet activated"))
    return absl::PermissionDeniedError(told);
  return absl::FailedPreconditionError(absl::StrCat(
      told, "; this node's clock says ", absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", absl::Now(), absl::UTCTimeZone())));
}

class HttpStream : public ByteStream {
 public:
  explicit HttpStream(ChildProcess wget) : wget_(std::move(wget)) {}

  absl::StatusOr<std::string> Read(absl::Duration patience) override {
    absl::StatusOr<std::string> bytes = wget_.Read(patience);
    if (!bytes.ok() || !bytes->empty()) return bytes;
    RETURN_IF_ERROR(MeaningOf(wget_.Wait(kEndPatience)));
    return bytes;
  }

 private:
  ChildProcess wget_;
};

}  // namespace

absl::Status CheckUrl(absl::string_view url) {
  absl::string_view rest = url;
  if (url.size() > kMaxUrl) return absl::InvalidArgumentError("the URL is longer than 2048 bytes");
  bool printable = std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!printable) {
    return absl::InvalidArgumentError("the URL holds a blank or another character that has to be written as %XX");
  }
  if (!absl::ConsumePrefix(&rest, "https://") && !absl::ConsumePrefix(&rest, "http://"))
    return absl::InvalidArgumentError("the URL does not begin with http:// or https://");
  absl::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (absl::StrContains(authority, '@')) {
    return absl::InvalidArgumentError("the URL holds a user or a password, which it may not");
  }
  if (authority.empty() || authority[0] == ':') return absl::InvalidArgumentError("the URL names no host");
  return absl::OkStatus();
}

std::string ShownUrl(absl::string_view url) { return std::string(url.substr(0, url.find_first_of("?#"))); }

absl::Status MeaningOf(const ChildProcess::End& end) {
  std::string told = Told(end.errors);
  auto or_else = [&told](absl::string_view text) { return told.empty() ? std::string(text) : told; };
  if (end.signal != 0) return absl::UnavailableError(absl::StrCat("wget was ended by signal ", end.signal));
  switch (end.exit_code) {
    case 0:
      return absl::OkStatus();
    case kNetwork:
      return absl::UnavailableError(or_else("the connection broke"));
    case kCertificate:
      return MeaningOfCertificate(or_else("the server's certificate is not trusted"));
    case kLogin:
      return absl::FailedPreconditionError("the server wants a login, which the node has none of");
    case kProtocol:
      return absl::UnavailableError(or_else("the server speaks no HTTP"));
    case kServerError:
      return MeaningOfServerError(or_else("with an error"), HttpStatus(end.errors));
    default:
      return absl::InternalError(absl::StrCat("wget: exit ", end.exit_code, told.empty() ? "" : ": ", told));
  }
}

absl::StatusOr<std::unique_ptr<ByteStream>> OpenHttp(const std::string& fetch, const std::string& url,
                                                     const std::string& ca_file, uint64_t offset) {
  std::vector<std::string> argv = {fetch, absl::StrCat(offset)};
  if (!ca_file.empty()) argv.push_back(ca_file);
  ASSIGN_OR_RETURN(ChildProcess wget, ChildProcess::Start(argv, {}, absl::StrCat(url, "\n")));
  return std::make_unique<HttpStream>(std::move(wget));
}

}  // namespace stele::machined
