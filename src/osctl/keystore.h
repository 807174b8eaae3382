// A directory of keys: the two CAs and what they signed, one .crt and one .key each.
#pragma once

#include <string>

#include "base/status.h"
#include "osctl/pki.h"

namespace stele::osctl {

inline constexpr char kServerAuthority[] = "server-ca";
inline constexpr char kClientAuthority[] = "client-ca";

// File names are STEM.crt and STEM.key; keys have mode 0600, the directory 0700.
class KeyStore {
 public:
  // Makes the directory.
  static absl::StatusOr<KeyStore> Open(const std::string& directory);

  std::string CertificatePath(const std::string& stem) const;
  std::string KeyPath(const std::string& stem) const;

  absl::Status Save(const std::string& stem, const KeyPair& pair) const;
  absl::StatusOr<KeyPair> Load(const std::string& stem) const;
  // The certificate only: a node's config needs no CA key.
  absl::StatusOr<std::string> LoadCertificate(const std::string& stem) const;
  // The CA of that name, made when there is none, so that a second node joins the first one's PKI.
  absl::StatusOr<KeyPair> Authority(const std::string& stem, const std::string& common_name,
                                    const Validity& validity) const;

 private:
  explicit KeyStore(std::string directory) : directory_(std::move(directory)) {}
  std::string directory_;
};

}  // namespace stele::osctl
