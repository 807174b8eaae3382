// Roles that are a list of methods, beside reader, operator and admin, each of which may do all that the ones before it
// may. Here are those that every node has; a configuration may name more (api.roles).
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"

namespace stele {

struct NarrowRole {
  absl::string_view name;
  absl::string_view methods;    // patterns, by commas
  absl::string_view resources;  // types that ResourceService gives it, by commas; "*": all
  absl::string_view files_as;   // FileService treats it as this role
};

inline constexpr NarrowRole kNarrowRoles[] = {
    // Brings images and watches what becomes of them.
    {"updater", "SystemService.Version,UpgradeService.*,EventService.StreamEvents,ResourceService.*,Health.*",
     "boots,phases,services,slots,types,upgrades", "reader"},
    // Reads what is worth keeping; changes nothing.
    {"backup",
     "SystemService.Version,FileService.*,LogService.ReadLog,EventService.StreamEvents,ConfigService.GetConfig,"
     "ConfigService.ConfigHistory,ResourceService.*,Health.*",
     "*", "admin"},
};

inline const NarrowRole* FindNarrowRole(absl::string_view name) {
  for (const NarrowRole& role : kNarrowRoles) {
    if (role.name == name) return &role;
  }
  return nullptr;
}

// The roles of the table that each method has its least one of.
inline bool IsWideRole(absl::string_view name) { return name == "reader" || name == "operator" || name == "admin"; }

// Whether `pattern`, Service.Method or Service.*, names the method "/package.Service/Method".
inline bool MethodFits(absl::string_view pattern, absl::string_view path) {
  size_t slash = path.rfind('/'), dot = pattern.rfind('.');
  if (slash == absl::string_view::npos || dot == absl::string_view::npos) return false;
  absl::string_view service = path.substr(0, slash), method = path.substr(slash + 1);
  size_t package = service.rfind('.');
  if (package == absl::string_view::npos) return false;
  absl::string_view wanted = pattern.substr(dot + 1);
  return pattern.substr(0, dot) == service.substr(package + 1) && (wanted == "*" || wanted == method);
}

}  // namespace stele
