#include "osctl/pki.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"

namespace stele::osctl {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;
using Number = std::unique_ptr<BIGNUM, Deleter<BN_free>>;

absl::Status OpensslError(absl::string_view doing) {
  unsigned long code = ERR_get_error();  // the first one is the cause
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return absl::InternalError(absl::StrCat(doing, ": ", reason == nullptr ? "OpenSSL failed" : reason));
}

std::string Drain(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return std::string(data, size);
}

absl::StatusOr<Certificate> ParseCertificate(const std::string& pem) {
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) return OpensslError("read a PEM certificate");
  return certificate;
}

// An encrypted key would ask for a passphrase on the terminal; we say no instead.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::StatusOr<Key> ParseKey(const std::string& pem) {
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) return OpensslError("read a PEM private key");
  return key;
}

absl::StatusOr<KeyPair> ToPem(X509* certificate, EVP_PKEY* key) {
  Bio certificate_bio(BIO_new(BIO_s_mem()));
  Bio key_bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificate_bio.get(), certificate) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(key_bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpensslError("write PEM");
  }
  return KeyPair{Drain(certificate_bio.get()), Drain(key_bio.get())};
}

absl::Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return OpensslError(absl::StrCat("add ", OBJ_nid2ln(nid), " '", value, "'"));
  }
  return absl::OkStatus();
}

absl::Status SetName(X509* certificate, const std::string& organization, const std::string& common_name) {
  X509_NAME* name = X509_get_subject_name(certificate);
  for (const auto& [field, value] : {std::pair("O", &organization), std::pair("CN", &common_name)}) {
    if (value->empty()) continue;
    if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value->data()),
                                   static_cast<int>(value->size()), -1, 0) != 1) {
      return OpensslError(absl::StrCat("set ", field, " '", *value, "'"));
    }
  }
  return absl::OkStatus();
}

// Serial, subject, validity and public key of a certificate to be.
absl::StatusOr<Certificate> Begin(EVP_PKEY* key, const std::string& organization, const std::string& common_name,
                                  const Validity& validity) {
  Certificate certificate(X509_new());
  Number serial(BN_new());
  // 127 random bits: RFC 5280 allows 20 octets and wants it positive; nobody can guess or repeat it.
  if (BN_rand(serial.get(), 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) == nullptr ||
      X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      ASN1_TIME_set(X509_getm_notBefore(certificate.get()), absl::ToTimeT(validity.not_before)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(validity.not_after)) == nullptr ||
      X509_set_pubkey(certificate.get(), key) != 1) {
    return OpensslError("make a certificate");
  }
  RETURN_IF_ERROR(SetName(certificate.get(), organization, common_name));
  return certificate;
}

std::string SanExtension(const std::vector<std::string>& names) {
  std::vector<std::string> parts;
  for (const std::string& name : names) {
    unsigned char address[16];
    bool ip = inet_pton(AF_INET, name.c_str(), address) == 1 || inet_pton(AF_INET6, name.c_str(), address) == 1;
    parts.push_back(absl::StrCat(ip ? "IP:" : "DNS:", name));
  }
  return absl::StrJoin(parts, ",");
}

absl::Status CheckNames(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    // OpenSSL's extension syntax would take a comma for the next entry.
    if (name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:*_") !=
                            std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("'", name, "' is neither an address nor a DNS name"));
    }
  }
  return absl::OkStatus();
}

const char* ExtendedUsage(Usage usage) {
  switch (usage) {
    case Usage::kClient:
      return "clientAuth";
    case Usage::kServer:
      return "serverAuth";
    case Usage::kBoth:
      return "serverAuth,clientAuth";
    case Usage::kNone:
      return "";
  }
  return "";
}

std::string NameEntry(X509* certificate, int nid) {
  X509_NAME* name = X509_get_subject_name(certificate);
  int at = X509_NAME_get_index_by_NID(name, nid, -1);
  if (at < 0) return "";
  ASN1_STRING* data = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(data)), ASN1_STRING_length(data));
}

std::string SerialOf(X509* certificate) {
  Number number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  char* digits = number == nullptr ? nullptr : BN_bn2hex(number.get());
  std::string serial = absl::AsciiStrToLower(digits == nullptr ? "" : digits);
  OPENSSL_free(digits);
  return serial.substr(std::min(serial.find_first_not_of('0'), serial.size()));
}

absl::Time TimeOf(const ASN1_TIME* time) {
  tm parts = {};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return absl::InfinitePast();
  return absl::FromTM(parts, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<KeyPair> MakeAuthority(const std::string& common_name, const Validity& validity) {
  Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpensslError("make a P-256 key");
  ASSIGN_OR_RETURN(Certificate certificate, Begin(key.get(), "", common_name, validity));
  if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get())) != 1) {
    return OpensslError("name the issuer");
  }
  // pathlen 0: this CA signs leaves, never another CA.
  RETURN_IF_ERROR(
      AddExtension(certificate.get(), certificate.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  RETURN_IF_ERROR(AddExtension(certificate.get(), certificate.get(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  RETURN_IF_ERROR(AddExtension(certificate.get(), certificate.get(), NID_subject_key_identifier, "hash"));
  if (X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0) return OpensslError("sign the CA");
  return ToPem(certificate.get(), key.get());
}

absl::StatusOr<KeyPair> MakeLeaf(const KeyPair& authority, const LeafRequest& request) {
  ASSIGN_OR_RETURN(Certificate issuer, ParseCertificate(authority.certificate));
  ASSIGN_OR_RETURN(Key issuer_key, ParseKey(authority.key));
  RETURN_IF_ERROR(CheckNames(request.san));
  Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpensslError("make a P-256 key");
  ASSIGN_OR_RETURN(Certificate certificate,
                   Begin(key.get(), request.organization, request.common_name, request.validity));
  X509* leaf = certificate.get();
  if (X509_set_issuer_name(leaf, X509_get_subject_name(issuer.get())) != 1) return OpensslError("name the issuer");
  RETURN_IF_ERROR(AddExtension(leaf, issuer.get(), NID_basic_constraints, "critical,CA:FALSE"));
  RETURN_IF_ERROR(AddExtension(leaf, issuer.get(), NID_key_usage, "critical,digitalSignature"));
  if (std::string usage = ExtendedUsage(request.usage); !usage.empty()) {
    RETURN_IF_ERROR(AddExtension(leaf, issuer.get(), NID_ext_key_usage, usage));
  }
  RETURN_IF_ERROR(AddExtension(leaf, issuer.get(), NID_subject_key_identifier, "hash"));
  RETURN_IF_ERROR(AddExtension(leaf, issuer.get(), NID_authority_key_identifier, "keyid"));
  if (!request.san.empty()) {
    RETURN_IF_ERROR(AddExtension(leaf, issuer.get(), NID_subject_alt_name, SanExtension(request.san)));
  }
  if (X509_sign(leaf, issuer_key.get(), EVP_sha256()) == 0) return OpensslError("sign the certificate");
  return ToPem(leaf, key.get());
}

absl::StatusOr<CertificateInfo> ReadCertificate(const std::string& pem) {
  ASSIGN_OR_RETURN(Certificate certificate, ParseCertificate(pem));
  return CertificateInfo{
      NameEntry(certificate.get(), NID_commonName),
      NameEntry(certificate.get(), NID_organizationName),
      {TimeOf(X509_get0_notBefore(certificate.get())), TimeOf(X509_get0_notAfter(certificate.get()))},
      SerialOf(certificate.get())};
}

absl::Status CheckKeyPair(const KeyPair& pair) {
  ASSIGN_OR_RETURN(Certificate certificate, ParseCertificate(pair.certificate));
  ASSIGN_OR_RETURN(Key key, ParseKey(pair.key));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the private key does not belong to the certificate");
  }
  return absl::OkStatus();
}

}  // namespace stele::osctl
