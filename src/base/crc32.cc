#include "base/crc32.h"

namespace stele {

uint32_t Crc32(absl::string_view data) {
  uint32_t crc = ~0u;
  for (char byte : data) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

}  // namespace stele
