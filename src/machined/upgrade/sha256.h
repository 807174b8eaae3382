// SHA-256, in pieces.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace stele::machined {

class Sha256 {
 public:
  static constexpr size_t kSize = 32;
  Sha256();
  void Update(absl::string_view bytes);
  // The 32 bytes; begins anew.
  std::string Finish();

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

// Of `bytes` at once.
std::string Sha256Of(absl::string_view bytes);

}  // namespace stele::machined
