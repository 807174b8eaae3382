#include "apid/authorize.h"

#include <algorithm>
#include <iterator>
namespace stele {
namespace {

constexpr bool Ascending() {
  for (size_t i = 1; i < std::size(kMethods); ++i) {
    if (!(kMethods[i - 1].path < kMethods[i].path)) return false;
  }
  return true;
}
static_assert(Ascending(), "FindMethod searches by halving");

}  // namespace

const Method* FindMethod(absl::string_view path) {
  const Method* at = std::lower_bound(std::begin(kMethods), std::end(kMethods), path,
                                      [](const Method& method, absl::string_view key) { return method.path < key; });
  return at != std::end(kMethods) && at->path == path ? at : nullptr;
}

absl::Status Authorize(const Identity& identity, const Roles& roles, absl::string_view path) {
  const Method* method = FindMethod(path);
  if (method == nullptr) return absl::UnimplementedError(absl::StrCat("this node has no method ", path.substr(0, 200)));
  if (identity.wide.has_value()) {
    if (*identity.wide >= method->role) return absl::OkStatus();
    return absl::PermissionDeniedError(
        absl::StrCat(path, " needs the role ", RoleName(method->role), ", and the certificate's is ", identity.role));
  }
  const Roles::Rule* rule = roles.Find(identity.role);
  if (rule != nullptr && rule->methods.test(static_cast<size_t>(method - kMethods))) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(path, " needs the role ", RoleName(method->role),
                                                  " or a narrow one that names it, and ", identity.role, " does not"));
}

}  // namespace stele
