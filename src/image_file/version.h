// Versions of images: MAJOR.MINOR.PATCH[-SUFFIX], in the order of semantic versions (semver.org, 11).
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace stele::image_file {

struct Version {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t patch = 0;
  // Identifiers of [0-9A-Za-z-] with dots between; empty: a release.
  std::string suffix;

  std::string Text() const;
};

inline constexpr size_t kMaxVersion = 64;

// INVALID_ARGUMENT says what is wrong with `text`.
absl::StatusOr<Version> ParseVersion(absl::string_view text);

// Below, equal to or above 0, as `a` is older than, the same as or newer than `b`. A suffix makes a
// version older than the release without one; numbers in it compare as numbers and before words.
int CompareVersions(const Version& a, const Version& b);

}  // namespace stele::image_file
