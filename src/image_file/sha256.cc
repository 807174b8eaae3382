#include "image_file/sha256.h"

#include <openssl/evp.h>

#include <cstdlib>

namespace stele::image_file {
namespace {

// These fail only without memory, or in an OpenSSL without SHA-256: nothing to go on with.
void Must(int result) {
  if (result != 1) std::abort();
}

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  Must(context_ != nullptr ? 1 : 0);
  Must(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}

void Sha256::Update(absl::string_view bytes) { Must(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size())); }

std::string Sha256::Finish() {
  std::string digest(kSha256Size, '\0');
  Must(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr));
  Must(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
  return digest;
}

std::string Sha256Of(absl::string_view bytes) {
  Sha256 digest;
  digest.Update(bytes);
  return digest.Finish();
}

}  // namespace stele::image_file
