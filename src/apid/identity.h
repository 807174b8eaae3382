// Who a client certificate says its holder is.
#pragma once

#include <openssl/x509.h>

#include <ctime>
#include <optional>
#include <string>

#include "apid/roles.h"
#include "base/status.h"
#include "stele/method_table.h"

namespace stele {

struct Identity {
  std::string subject;       // the common name
  std::string role;          // its name
  std::optional<Role> wide;  // where it is one of the table's; else it is a narrow one
};

// "reader", "operator", "admin".
absl::string_view RoleName(Role role);

// OK when the leaf may be a client at all: exactly the usage clientAuth, and not a CA. The chain,
// its dates and signatures are OpenSSL's to check.
absl::Status CheckClientLeaf(X509* leaf);

// Subject and role of a leaf. PERMISSION_DENIED unless exactly one Organization is a role of the table or of `roles`.
absl::StatusOr<Identity> IdentityOf(X509* leaf, const Roles& roles);

// Its serial number: hexadecimal, lower case, without leading zeros.
std::string SerialOf(const X509* leaf);

// When the certificate ends.
time_t NotAfter(X509* leaf);

}  // namespace stele
