// A small PKI, made anew for each test: P-256 keys, a CA, leaves with whatever is to be wrong with them.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace stele {

struct FreeOpenSsl {
  void operator()(X509* x) const { X509_free(x); }
  void operator()(EVP_PKEY* x) const { EVP_PKEY_free(x); }
};
using Certificate = std::unique_ptr<X509, FreeOpenSsl>;
using Key = std::unique_ptr<EVP_PKEY, FreeOpenSsl>;

struct KeyPair {
  Certificate certificate;
  Key key;

  std::string CertificatePem() const {
    return Pem([this](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); });
  }
  std::string KeyPem() const {
    return Pem([this](BIO* bio) {
      return PEM_write_bio_PKCS8PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }

 private:
  template <typename Write>
  static std::string Pem(Write write) {
    BIO* bio = BIO_new(BIO_s_mem());
    if (write(bio) != 1) std::abort();
    char* data = nullptr;
    long size = BIO_get_mem_data(bio, &data);
    std::string text(data, static_cast<size_t>(size));
    BIO_free(bio);
    return text;
  }
};

struct LeafOptions {
  std::string common_name = "someone";
  std::vector<std::string> organizations = {"admin"};
  std::string usage = "clientAuth";  // as in openssl.cnf; empty: none
  bool is_ca = false;
  std::string alternative_names;  // "DNS:node,IP:127.0.0.1"
  long begins_s = -3600;          // from now
  long ends_s = 24 * 3600;
};

inline void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr || X509_add_ext(certificate, extension, -1) != 1) std::abort();
  X509_EXTENSION_free(extension);
}

// Signed by `issuer`, or by itself.
inline KeyPair MakeKeyPair(const LeafOptions& options, const KeyPair* issuer) {
  static long serial = 1000;
  KeyPair made{Certificate(X509_new()), Key(EVP_EC_gen("P-256"))};
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), options.begins_s);
  X509_gmtime_adj(X509_getm_notAfter(certificate), options.ends_s);
  X509_set_pubkey(certificate, made.key.get());
  X509_NAME* name = X509_get_subject_name(certificate);
  auto add = [name](const char* field, const std::string& value) {
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                               static_cast<int>(value.size()), -1, 0);
  };
  for (const auto& organization : options.organizations) add("O", organization);
  if (!options.common_name.empty()) add("CN", options.common_name);
  X509* issuer_certificate = issuer != nullptr ? issuer->certificate.get() : certificate;
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer_certificate));
  AddExtension(certificate, issuer_certificate, NID_basic_constraints,
               options.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  AddExtension(certificate, issuer_certificate, NID_key_usage,
               options.is_ca ? "critical,digitalSignature,keyCertSign,cRLSign" : "critical,digitalSignature");
  if (!options.usage.empty()) AddExtension(certificate, issuer_certificate, NID_ext_key_usage, options.usage);
  if (!options.alternative_names.empty()) {
    AddExtension(certificate, issuer_certificate, NID_subject_alt_name, options.alternative_names);
  }
  if (X509_sign(certificate, issuer != nullptr ? issuer->key.get() : made.key.get(), EVP_sha256()) == 0) std::abort();
  return made;
}

inline KeyPair MakeCa(const std::string& name) {
  return MakeKeyPair({.common_name = name, .organizations = {}, .usage = "", .is_ca = true}, nullptr);
}

}  // namespace stele
