// SHA-256 over bytes that come in pieces.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

struct evp_md_ctx_st;

namespace stele::image_file {

inline constexpr size_t kSha256Size = 32;

// One digest. Moves; never copies.
class Sha256 {
 public:
  Sha256();
  void Update(absl::string_view bytes);
  // The 32 bytes; the object begins anew.
  std::string Finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

// Of `bytes` alone.
std::string Sha256Of(absl::string_view bytes);

}  // namespace stele::image_file
