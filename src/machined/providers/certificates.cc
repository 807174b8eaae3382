// The `certificates` resources: what the node serves with and whom it trusts.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "machined/ip_prefix.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/hardware.pb.h"

namespace stele::machined {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;
using Names = std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)>;

// Files that hold certificates, first what a client meets. A key beside them is passed over.
constexpr struct {
  const char* id;
  const char* path;
} kFiles[] = {
    {"api-server", "/run/stele/apid/tls.pem"},
    {"api-clients", "/run/stele/apid/client-ca.crt"},
    {"kubelet-server", "/var/lib/kubelet/pki/kubelet.crt"},
    {"kubelet-server", "/var/lib/kubelet/pki/kubelet-server-current.pem"},
    {"kubelet-client", "/var/lib/kubelet/pki/kubelet-client-current.pem"},
};

std::string NameText(const X509_NAME* name) {
  Bio out(BIO_new(BIO_s_mem()), BIO_free);
  if (out == nullptr || X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253) < 0) return "";
  char* text = nullptr;
  long size = BIO_get_mem_data(out.get(), &text);
  return Printable(absl::string_view(text, static_cast<size_t>(size)));
}

void SetTime(const ASN1_TIME* time, google::protobuf::Timestamp* out) {
  std::tm parts = {};
  if (ASN1_TIME_to_tm(time, &parts) == 1) out->set_seconds(::timegm(&parts));
}

void AddNames(const X509* x509, resource::v1::Certificate* certificate) {
  Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr)),
              GENERAL_NAMES_free);
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
    const ASN1_STRING* value = name->type == GEN_DNS ? name->d.dNSName : name->d.iPAddress;
    std::string bytes(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                      static_cast<size_t>(ASN1_STRING_length(value)));
    certificate->add_names(name->type == GEN_DNS                     ? Printable(bytes)
                           : bytes.size() == 4 || bytes.size() == 16 ? FormatIpAddress(bytes)
                                                                     : "");
  }
}

void Fill(X509* x509, resource::v1::Certificate* certificate) {
  certificate->set_subject(NameText(X509_get_subject_name(x509)));
  certificate->set_issuer(NameText(X509_get_issuer_name(x509)));
  SetTime(X509_get0_notBefore(x509), certificate->mutable_not_before());
  SetTime(X509_get0_notAfter(x509), certificate->mutable_not_after());
  certificate->set_valid(X509_cmp_current_time(X509_get0_notBefore(x509)) < 0 &&
                         X509_cmp_current_time(X509_get0_notAfter(x509)) > 0);
  certificate->set_authority(X509_check_ca(x509) != 0);
  AddNames(x509, certificate);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(x509, EVP_sha256(), digest, &size) == 1)
    certificate->set_fingerprint(absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(digest), size)));
}

}  // namespace

absl::StatusOr<Provided> ReadCertificates() {
  Provided all;
  for (const auto& file : kFiles) {
    std::string pem = BytesOf(file.path);
    Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
    for (int number = 1; bio != nullptr; ++number) {
      X509Ptr x509(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
      if (x509 == nullptr) break;
      auto* certificate = Provide<resource::v1::Certificate>(all, absl::StrCat(file.id, "/", number));
      if (certificate != nullptr) Fill(x509.get(), certificate);
    }
    ERR_clear_error();  // the end of the text is an error to OpenSSL, and the queue is this thread's
  }
  return all;
}

}  // namespace stele::machined
