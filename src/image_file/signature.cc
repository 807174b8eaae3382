#include "image_file/signature.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "image_file/sha256.h"

namespace stele::image_file {
namespace {

using stele::image::v1::Signature;

constexpr size_t kMaxKeys = 64;
constexpr size_t kMaxPem = 16 << 10;
constexpr absl::string_view kCurve = "prime256v1";

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

const unsigned char* Bytes(absl::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

absl::Status CheckKind(const EVP_PKEY* key, bool* ed25519) {
  *ed25519 = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
  if (*ed25519) return absl::OkStatus();
  char curve[64] = {};
  size_t length = 0;
  bool named = EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
               EVP_PKEY_get_group_name(key, curve, sizeof curve, &length) == 1 && curve == kCurve;
  if (named) return absl::OkStatus();
  return absl::InvalidArgumentError("a key of another kind; Ed25519 and EC on P-256 are known");
}

absl::StatusOr<std::string> KeyId(const EVP_PKEY* key) {
  unsigned char* der = nullptr;
  int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return absl::InvalidArgumentError("the key cannot be written as SubjectPublicKeyInfo");
  std::string id = Sha256Of({reinterpret_cast<const char*>(der), static_cast<size_t>(size)});
  OPENSSL_free(der);
  return id;
}

std::string Ids(const std::vector<Signature>& signatures) {
  return absl::StrJoin(signatures, ", ", [](std::string* out, const Signature& signature) {
    absl::StrAppend(out, ShortKeyId(signature.key_id()));
  });
}

std::string Names(const std::vector<PublicKey>& keys) {
  if (keys.empty()) return "no key is";
  std::string names = absl::StrJoin(keys, ", ", [](std::string* out, const PublicKey& key) {
    absl::StrAppend(out, key.name(), " (", ShortKeyId(key.id()), ")");
  });
  return absl::StrCat(names, keys.size() == 1 ? " is" : " are");
}

std::string Stem(const std::string& path) { return std::filesystem::path(path).stem().string(); }

}  // namespace

absl::StatusOr<PublicKey> PublicKey::Parse(const std::string& name, const std::string& pem) {
  if (absl::StrContains(pem, "PRIVATE KEY")) {
    return absl::InvalidArgumentError("a private key; `openssl pkey -in KEY -pubout` makes the public one");
  }
  std::unique_ptr<BIO, FreeBio> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::shared_ptr<EVP_PKEY> parsed(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  ERR_clear_error();
  if (parsed == nullptr) return absl::InvalidArgumentError("no PEM block \"PUBLIC KEY\" that can be read");
  // A second key would be one that nobody sees trusted.
  std::shared_ptr<EVP_PKEY> second(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  ERR_clear_error();
  if (second != nullptr) return absl::InvalidArgumentError("more than one key; give each a file of its own");
  PublicKey key;
  key.name_ = name;
  RETURN_IF_ERROR(CheckKind(parsed.get(), &key.ed25519_));
  ASSIGN_OR_RETURN(key.id_, KeyId(parsed.get()));
  key.key_ = std::move(parsed);
  return key;
}

bool PublicKey::Verify(absl::string_view bytes, absl::string_view signature) const {
  std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  const EVP_MD* digest = ed25519_ ? nullptr : EVP_sha256();
  bool good = EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key_.get()) == 1 &&
              EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(bytes), bytes.size()) == 1;
  ERR_clear_error();
  return good;
}

absl::StatusOr<TrustedKeys> TrustedKeys::Load(const std::string& directory) {
  std::error_code error;
  std::filesystem::directory_iterator entries(directory, error);
  if (error) return StatusFromErrno(error.value(), absl::StrCat("open the trusted keys' directory ", directory));
  std::vector<std::string> paths;
  for (const std::filesystem::directory_iterator end; entries != end; entries.increment(error)) {
    if (entries->path().extension() == ".pem") paths.push_back(entries->path().string());
    if (paths.size() > kMaxKeys) return absl::FailedPreconditionError(absl::StrCat(directory, ": over 64 keys"));
  }
  if (error) return StatusFromErrno(error.value(), absl::StrCat("read the trusted keys' directory ", directory));
  std::sort(paths.begin(), paths.end());
  absl::StatusOr<TrustedKeys> keys = LoadFiles(paths);
  if (!keys.ok()) return absl::FailedPreconditionError(keys.status().message());
  return keys;
}

absl::StatusOr<TrustedKeys> TrustedKeys::LoadFiles(const std::vector<std::string>& paths) {
  TrustedKeys trusted;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(std::string pem, ReadFile(path, kMaxPem));
    absl::StatusOr<PublicKey> key = PublicKey::Parse(Stem(path), pem);
    if (!key.ok()) return Annotate(key.status(), path);
    trusted.keys_.push_back(*std::move(key));
  }
  return trusted;
}

absl::StatusOr<std::string> TrustedKeys::VerifyAll(absl::string_view manifest,
                                                   const std::vector<Signature>& signatures) const {
  if (signatures.empty()) return absl::PermissionDeniedError("the image is not signed");
  std::string bad;
  for (const Signature& signature : signatures) {
    for (const PublicKey& key : keys_) {
      if (key.id() != signature.key_id()) continue;
      if (key.Verify(manifest, signature.signature())) return key.name();
      bad = absl::StrCat(key.name(), " (", ShortKeyId(key.id()), ")");
    }
  }
  if (!bad.empty()) {
    return absl::PermissionDeniedError(
        absl::StrCat("the signature by ", bad, " is not one of this manifest: it was changed after it was signed"));
  }
  return absl::PermissionDeniedError(absl::StrCat("the image is signed by ", Ids(signatures),
                                                  ", which nobody trusts here; ", Names(keys_), " trusted"));
}

std::string ShortKeyId(absl::string_view id) { return absl::BytesToHexString(id.substr(0, 8)); }

}  // namespace stele::image_file
