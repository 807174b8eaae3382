// Certificates and keys, PEM. Each check answers what is wrong; empty when nothing is.
#pragma once

#include <string>

namespace stele::config {

// One or more certificates of authorities, and nothing else.
std::string CheckCaPem(const std::string& pem);
// A server's certificate first, then any intermediate ones.
std::string CheckServerCertificatePem(const std::string& pem);
// A client's certificate first, then any intermediate ones.
std::string CheckClientCertificatePem(const std::string& pem);
// A private key without a passphrase.
std::string CheckKeyPem(const std::string& pem);
// Whether the key is that of the first certificate. Both must have passed their checks.
bool KeyMatches(const std::string& key_pem, const std::string& certificate_pem);

}  // namespace stele::config
