// The keys of the machine API: a CA for servers, a CA for clients, and the certificates they sign.
//
// All keys are ECDSA P-256: every TLS library speaks it (BoringSSL, which many gRPC clients carry,
// does not offer Ed25519 for certificates by default), and a handshake costs a tenth of RSA-2048's.
// docs/decisions/keys.md tells more.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/status.h"

namespace stele::osctl {

// PEM both.
struct KeyPair {
  std::string certificate;
  std::string key;
};

struct Validity {
  absl::Time not_before;
  absl::Time not_after;
};

// What a leaf may be used for. Nodes take clients with exactly kClient; the others are for tests.
enum class Usage : unsigned char { kClient, kServer, kBoth, kNone };

struct LeafRequest {
  std::string common_name;
  std::string organization;      // of clients: the role
  std::vector<std::string> san;  // addresses and DNS names
  Usage usage = Usage::kClient;
  Validity validity;
};

// A self-signed CA that signs leaves only.
absl::StatusOr<KeyPair> MakeAuthority(const std::string& common_name, const Validity& validity);
// A leaf that `authority` signs.
absl::StatusOr<KeyPair> MakeLeaf(const KeyPair& authority, const LeafRequest& request);

struct CertificateInfo {
  std::string common_name;
  std::string organization;
  Validity validity;
  std::string serial;  // hexadecimal, lower case, without leading zeros: as nodes' audits show it
};
// Of the first certificate in `pem`.
absl::StatusOr<CertificateInfo> ReadCertificate(const std::string& pem);
// Whether `pair.key` is the certificate's key.
absl::Status CheckKeyPair(const KeyPair& pair);

}  // namespace stele::osctl
