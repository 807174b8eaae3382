#include "osctl/keystore.h"

#include "base/file.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

absl::Status Local(const absl::Status& status, absl::string_view next = "") {
  return status.ok() ? status : WithExit(status, ExitCode::kLocal, next);
}

}  // namespace

absl::StatusOr<KeyStore> KeyStore::Open(const std::string& directory) {
  std::string trimmed = directory;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  RETURN_IF_ERROR(Local(MakeDirectories(trimmed, 0700)));
  return KeyStore(trimmed);
}

std::string KeyStore::CertificatePath(const std::string& stem) const {
  return absl::StrCat(directory_, "/", stem, ".crt");
}

std::string KeyStore::KeyPath(const std::string& stem) const { return absl::StrCat(directory_, "/", stem, ".key"); }

absl::Status KeyStore::Save(const std::string& stem, const KeyPair& pair) const {
  RETURN_IF_ERROR(Local(ReplaceFile(KeyPath(stem), pair.key, 0600)));
  return Local(ReplaceFile(CertificatePath(stem), pair.certificate, 0644));
}

absl::StatusOr<KeyPair> KeyStore::Load(const std::string& stem) const {
  KeyPair pair;
  ASSIGN_OR_RETURN(pair.certificate, LoadCertificate(stem));
  absl::StatusOr<std::string> key = ReadFile(KeyPath(stem));
  if (!key.ok()) return Local(key.status(), "make it with `osctl gen pki`");
  pair.key = *std::move(key);
  RETURN_IF_ERROR(Local(Annotate(CheckKeyPair(pair), KeyPath(stem))));
  return pair;
}

absl::StatusOr<std::string> KeyStore::LoadCertificate(const std::string& stem) const {
  absl::StatusOr<std::string> certificate = ReadFile(CertificatePath(stem));
  if (!certificate.ok()) return Local(certificate.status(), "make it with `osctl gen pki`");
  return certificate;
}

absl::StatusOr<KeyPair> KeyStore::Authority(const std::string& stem, const std::string& common_name,
                                            const Validity& validity) const {
  if (absl::IsNotFound(ReadFile(KeyPath(stem)).status())) {
    ASSIGN_OR_RETURN(KeyPair made, MakeAuthority(common_name, validity));
    RETURN_IF_ERROR(Save(stem, made));
    return made;
  }
  ASSIGN_OR_RETURN(KeyPair authority, Load(stem));
  ASSIGN_OR_RETURN(CertificateInfo info, ReadCertificate(authority.certificate));
  if (info.validity.not_after < absl::Now()) {
    return LocalError(absl::StrCat(CertificatePath(stem), " expired at ", Rfc3339(info.validity.not_after)),
                      "remove it and its key; every certificate is then made anew");
  }
  return authority;
}

}  // namespace stele::osctl
