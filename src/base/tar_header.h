// Headers of a tar archive: POSIX.1-2001 ustar, with a pax header before it where ustar has no room. Pure.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace stele {

inline constexpr uint64_t kTarBlock = 512;

// What stands before an entry's bytes. `name` is any bytes without NUL; a directory's has no slash at its end. Of
// `info` the mode says what it is (a regular file, a directory or a link); `size` is the regular file's, and 0 for the
// others.
std::string TarHeader(const std::string& name, const struct stat& info, uint64_t size, const std::string& link_target);

// Zeros that fill up the last block of `size` bytes.
inline uint64_t TarPadding(uint64_t size) { return (kTarBlock - size % kTarBlock) % kTarBlock; }

// What stands at the archive's end.
std::string TarEnd();

}  // namespace stele
