#include "machined/image_version.h"

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/build_version.h"
#include "base/file.h"

namespace stele::machined {

std::string ImageVersion(const std::string& os_release) {
  std::string text = ReadFile(os_release, 64 * 1024).value_or("");
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::ConsumePrefix(&line, "IMAGE_VERSION="))
      return std::string(absl::StripPrefix(absl::StripSuffix(line, "\""), "\""));
  }
  return kBuildVersion;
}

}  // namespace stele::machined
