// A file that has the form of a UKI, for tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace stele::machined {

inline void PutNumber(std::string& out, size_t at, uint64_t value, size_t width) {
  for (size_t i = 0; i < width; ++i) out[at + i] = static_cast<char>(value >> (8 * i));
}

// An EFI application with these sections, each at a multiple of 512.
inline std::string MakePe(const std::vector<std::pair<std::string, std::string>>& sections) {
  std::string head(1024, '\0'), body;
  head.replace(0, 2, "MZ");
  PutNumber(head, 0x3c, 64, 4);
  head.replace(64, 2, "PE");
  PutNumber(head, 64 + 6, sections.size(), 2);
  PutNumber(head, 64 + 20, 112, 2);
  PutNumber(head, 64 + 24, 0x20b, 2);
  PutNumber(head, 64 + 24 + 68, 10, 2);
  size_t header = 64 + 24 + 112;
  for (const auto& [name, content] : sections) {
    size_t raw = (content.size() + 511) / 512 * 512;
    head.replace(header, name.size(), name);
    PutNumber(head, header + 8, content.size(), 4);
    PutNumber(head, header + 16, raw, 4);
    PutNumber(head, header + 20, head.size() + body.size(), 4);
    body += content + std::string(raw - content.size(), '\0');
    header += 40;
  }
  return head + body;
}

// With `bulk` bytes of kernel, which follow from `seed`.
inline std::string MakeUki(const std::string& root_hash, size_t bulk = 3000, char seed = 'k') {
  std::string kernel(bulk, seed);
  for (size_t i = 0; i < bulk; ++i) kernel[i] = static_cast<char>(seed + i * 31 + i / 4096);
  return MakePe({{".osrel", "ID=stele\n"},
                 {".cmdline", "quiet stele.root=" + root_hash + ":10:00 panic=10"},
                 {".linux", kernel},
                 {".initrd", "initrd"}});
}

}  // namespace stele::machined
