#include "apid/identity.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"

namespace stele {
namespace {

// Every value of attribute `nid` in the subject. UTF-8, of any length, NULs included.
std::vector<std::string> SubjectValues(X509* leaf, int nid) {
  std::vector<std::string> values;
  X509_NAME* subject = X509_get_subject_name(leaf);
  for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, nid, at)) >= 0;) {
    unsigned char* text = nullptr;
    int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (size < 0) continue;  // not a string: no role's name, at any rate
    values.emplace_back(reinterpret_cast<char*>(text), static_cast<size_t>(size));
    OPENSSL_free(text);
  }
  return values;
}

std::optional<Role> WideRole(absl::string_view name) {
  for (Role candidate : {Role::kReader, Role::kOperator, Role::kAdmin}) {
    if (name == RoleName(candidate)) return candidate;
  }
  return std::nullopt;
}

}  // namespace

absl::string_view RoleName(Role role) {
  switch (role) {
    case Role::kReader:
      return "reader";
    case Role::kOperator:
      return "operator";
    case Role::kAdmin:
      return "admin";
  }
  return "unknown";
}

absl::Status CheckClientLeaf(X509* leaf) {
  int critical = 0;
  std::unique_ptr<EXTENDED_KEY_USAGE, decltype(&EXTENDED_KEY_USAGE_free)> usages(
      static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(leaf, NID_ext_key_usage, &critical, nullptr)),
      &EXTENDED_KEY_USAGE_free);
  if (usages == nullptr) return absl::UnauthenticatedError("client certificate has no extended key usage");
  if (sk_ASN1_OBJECT_num(usages.get()) != 1 || OBJ_obj2nid(sk_ASN1_OBJECT_value(usages.get(), 0)) != NID_client_auth) {
    return absl::UnauthenticatedError("client certificate's extended key usage is not exactly clientAuth");
  }
  // Also true for a self-signed V1 certificate and for one that may sign others by key usage.
  if (X509_check_ca(leaf) != 0) return absl::UnauthenticatedError("client certificate is a CA");
  return absl::OkStatus();
}

absl::StatusOr<Identity> IdentityOf(X509* leaf, const Roles& roles) {
  Identity identity;
  std::vector<std::string> names = SubjectValues(leaf, NID_commonName);
  if (names.size() != 1 || names[0].empty()) {
    return absl::PermissionDeniedError("the certificate's subject must have exactly one common name");
  }
  identity.subject = names[0];
  int count = 0;
  for (const auto& organization : SubjectValues(leaf, NID_organizationName)) {
    std::optional<Role> wide = WideRole(organization);
    if (!wide.has_value() && roles.Find(organization) == nullptr) continue;
    identity.role = organization;
    identity.wide = wide;
    ++count;
  }
  if (count != 1) {
    return absl::PermissionDeniedError(absl::StrCat(
        "the certificate of \"", identity.subject, "\" names ", count == 0 ? "no role" : "more than one role",
        ": its Organization must be exactly one of reader, operator, admin, updater, backup, and those of the node's "
        "configuration"));
  }
  return identity;
}

std::string SerialOf(const X509* leaf) {
  std::unique_ptr<BIGNUM, decltype(&BN_free)> number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), nullptr),
                                                     &BN_free);
  char* digits = number == nullptr ? nullptr : BN_bn2hex(number.get());
  std::string serial = absl::AsciiStrToLower(digits == nullptr ? "" : digits);
  OPENSSL_free(digits);
  return serial.substr(std::min(serial.find_first_not_of('0'), serial.size()));
}

time_t NotAfter(X509* leaf) {
  tm when = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &when) != 1) return 0;
  return timegm(&when);
}

}  // namespace stele
