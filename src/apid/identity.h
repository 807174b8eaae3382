// Who a client certificate says its holder is.
#pragma once

#include <openssl/x509.h>

#include <ctime>
#include <string>

#include "base/status.h"
#include "stele/method_table.h"

namespace stele {

struct Identity {
  std::string subject;  // the common name
  Role role = Role::kReader;
};

// "reader", "operator", "admin".
absl::string_view RoleName(Role role);

// OK when the leaf may be a client at all: exactly the usage clientAuth, and not a CA. The chain,
// its dates and signatures are OpenSSL's to check.
absl::Status CheckClientLeaf(X509* leaf);

// Subject and role of a leaf. PERMISSION_DENIED unless exactly one Organization is a role.
absl::StatusOr<Identity> IdentityOf(X509* leaf);

// When the certificate ends.
time_t NotAfter(X509* leaf);

}  // namespace stele
