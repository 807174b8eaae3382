#include "services/service_set.h"

#include "absl/strings/str_format.h"

namespace stele::services {
namespace {

// FNV-1a: equal files, equal hash; nobody gains by making two files that hash alike.
uint64_t Mix(uint64_t hash, const std::string& text) {
  for (char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return (hash ^ 0xFF) * 0x100000001b3;  // ends the text: {"ab", "c"} is not {"a", "bc"}
}

}  // namespace

void DependOnFiles(const std::vector<ServiceFile>& files, ServiceSpec* spec) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const ServiceFile& file : files) {
    hash = Mix(hash, file.path);
    if (file.content.has_value()) hash = Mix(hash, *file.content);
  }
  spec->env.push_back(absl::StrFormat("STELE_FILES=%016x", hash));
}

}  // namespace stele::services
