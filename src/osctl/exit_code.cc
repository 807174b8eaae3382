#include "osctl/exit_code.h"

namespace stele::osctl {
namespace {

constexpr ExitCodeText kTable[] = {
    {ExitCode::kOk, "ok", "Everything that was asked for was done."},
    {ExitCode::kFailed, "failed", "The node refused or failed; the line on stderr says why."},
    {ExitCode::kUsage, "usage", "The command line is wrong; nothing was sent."},
    {ExitCode::kUnreachable, "unreachable", "No connection, or no answer in time."},
    {ExitCode::kAuthentication, "authentication",
     "TLS failed: unknown CA, expired certificate, a server of another name, or our certificate was refused."},
    {ExitCode::kPermission, "permission", "The certificate's role may not do this."},
    {ExitCode::kNotFound, "not found", "The node knows no such resource, service or container."},
    {ExitCode::kInvalidConfig, "invalid config", "The node's configuration that was given is wrong."},
    {ExitCode::kLocal, "local", "A file on this machine is missing or wrong: a context, a key, an archive, an image."},
};

static_assert(sizeof kTable / sizeof kTable[0] == static_cast<size_t>(ExitCode::kLocal) + 1);

}  // namespace

absl::Span<const ExitCodeText> ExitCodes() { return kTable; }

}  // namespace stele::osctl
