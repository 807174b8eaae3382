// Who signed an image: public keys that are trusted, and manifests held against them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "stele/image/v1/image_file.pb.h"

struct evp_pkey_st;

namespace stele::image_file {

// A public key: Ed25519, or EC on P-256.
class PublicKey {
 public:
  // One PEM block "PUBLIC KEY". INVALID_ARGUMENT for anything else, also for a private key.
  static absl::StatusOr<PublicKey> Parse(const std::string& name, const std::string& pem);

  const std::string& name() const { return name_; }  // its file's, without .pem
  const std::string& id() const { return id_; }      // SHA-256 of its SubjectPublicKeyInfo
  // Whether `signature` is this key's, over exactly these bytes.
  bool Verify(absl::string_view bytes, absl::string_view signature) const;

 private:
  PublicKey() = default;
  std::string name_;
  std::string id_;
  bool ed25519_ = false;
  std::shared_ptr<evp_pkey_st> key_;  // never changed: copies may share it
};

class TrustedKeys {
 public:
  // Every *.pem of a directory, at most 64. NOT_FOUND without the directory; FAILED_PRECONDITION names a
  // file that is no public key. A directory without keys is one that trusts nobody.
  static absl::StatusOr<TrustedKeys> Load(const std::string& directory);
  // These files.
  static absl::StatusOr<TrustedKeys> LoadFiles(const std::vector<std::string>& paths);

  const std::vector<PublicKey>& keys() const { return keys_; }

  // The name of a key here that signed the manifest; one of several signatures is enough.
  // PERMISSION_DENIED says why nobody did: not signed, by unknown keys, or not over these bytes.
  template <typename Signatures>
  absl::StatusOr<std::string> Verify(absl::string_view manifest, const Signatures& signatures) const {
    return VerifyAll(manifest, {signatures.begin(), signatures.end()});
  }

 private:
  absl::StatusOr<std::string> VerifyAll(absl::string_view manifest,
                                        const std::vector<stele::image::v1::Signature>& signatures) const;
  std::vector<PublicKey> keys_;
};

// The first bytes of a key's id in hex, as people compare them.
std::string ShortKeyId(absl::string_view id);

}  // namespace stele::image_file
