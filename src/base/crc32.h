// CRC-32 as GPT has it.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace stele {

uint32_t Crc32(absl::string_view data);

}  // namespace stele
