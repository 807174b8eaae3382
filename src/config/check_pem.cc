#include "config/check_pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace stele::config {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Bio Open(const std::string& pem) { return {BIO_new_mem_buf(pem.data(), pem.size()), BIO_free}; }

// Never asks the terminal, as OpenSSL would by default.
int NoPassphrase(char*, int, int, void*) { return -1; }

std::vector<Certificate> ReadCertificates(const std::string& pem) {
  std::vector<Certificate> certificates;
  Bio bio = Open(pem);
  while (bio != nullptr) {
    Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr), X509_free);
    if (certificate == nullptr) break;
    certificates.push_back(std::move(certificate));
  }
  ERR_clear_error();  // the end of the text is an error to OpenSSL, and the queue is this thread's
  return certificates;
}

size_t CountBlocks(const std::string& pem) {
  size_t count = 0;
  for (size_t at = pem.find("-----BEGIN "); at != std::string::npos; at = pem.find("-----BEGIN ", at + 1)) ++count;
  return count;
}

// Every PEM block must be a certificate that parses: OpenSSL stops at the first that is not, in silence.
std::string ReadAll(const std::string& pem, std::vector<Certificate>* certificates) {
  *certificates = ReadCertificates(pem);
  size_t blocks = CountBlocks(pem);
  if (blocks == 0) return "expected PEM: -----BEGIN CERTIFICATE----- …";
  if (absl::StrContains(pem, "PRIVATE KEY-----")) return "expected certificates, found a private key";
  if (certificates->size() < blocks)
    return absl::StrCat("certificate ", certificates->size() + 1, " of ", blocks, " does not parse");
  return "";
}

// What OpenSSL refuses to serve with at Debian's security level 2. Of who signed itself no signature is asked.
constexpr int kSecurityBits = 112;
std::string CheckStrength(X509* certificate) {
  int key = EVP_PKEY_get_security_bits(X509_get0_pubkey(certificate));
  if (key < kSecurityBits)
    return absl::StrCat("its key has a strength of ", key, " bits, at least ", kSecurityBits, " are needed");
  int signature = 0;
  bool self_signed = X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0;
  bool known = X509_get_signature_info(certificate, nullptr, nullptr, &signature, nullptr) == 1;
  if (!self_signed && known && signature < kSecurityBits) {
    return absl::StrCat("its signature has a strength of ", signature, " bits, at least ", kSecurityBits,
                        " are needed");
  }
  return "";
}

Key ReadKey(const std::string& pem) {
  Bio bio = Open(pem);
  Key key(bio == nullptr ? nullptr : PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr), EVP_PKEY_free);
  ERR_clear_error();
  return key;
}

}  // namespace

std::string CheckCaPem(const std::string& pem) {
  std::vector<Certificate> certificates;
  if (std::string wrong = ReadAll(pem, &certificates); !wrong.empty()) return wrong;
  for (size_t i = 0; i < certificates.size(); ++i) {
    if (X509_check_ca(certificates[i].get()) == 0)
      return absl::StrCat("certificate ", i + 1, " is not a certificate authority's");
  }
  return "";
}

namespace {

std::string CheckChain(const std::string& pem, int purpose, const char* whom) {
  std::vector<Certificate> certificates;
  if (std::string wrong = ReadAll(pem, &certificates); !wrong.empty()) return wrong;
  if (X509_check_purpose(certificates[0].get(), purpose, 0) != 1)
    return absl::StrCat("the first certificate is not for a TLS ", whom);
  for (size_t i = 0; i < certificates.size(); ++i) {
    if (std::string wrong = CheckStrength(certificates[i].get()); !wrong.empty())
      return absl::StrCat("certificate ", i + 1, ": ", wrong);
  }
  return "";
}

}  // namespace

std::string CheckServerCertificatePem(const std::string& pem) {
  return CheckChain(pem, X509_PURPOSE_SSL_SERVER, "server");
}

std::string CheckClientCertificatePem(const std::string& pem) {
  return CheckChain(pem, X509_PURPOSE_SSL_CLIENT, "client");
}

std::string CheckKeyPem(const std::string& pem) {
  if (ReadKey(pem) != nullptr) return "";
  if (absl::StrContains(pem, "ENCRYPTED")) return "expected a private key without a passphrase";
  return "expected a private key, PEM";
}

bool KeyMatches(const std::string& key_pem, const std::string& certificate_pem) {
  std::vector<Certificate> certificates = ReadCertificates(certificate_pem);
  Key key = ReadKey(key_pem);
  bool matches =
      key != nullptr && !certificates.empty() && X509_check_private_key(certificates[0].get(), key.get()) == 1;
  ERR_clear_error();
  return matches;
}

}  // namespace stele::config
