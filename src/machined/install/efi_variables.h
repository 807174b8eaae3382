// The firmware's variables, as efivarfs shows them: a file each, NAME-GUID, four bytes of attributes before the data.
//
// Firmware is not to be trusted with anything that matters: a store may be full, read-only or forgetful. So every call
// tells what went wrong by its code, and no caller may need a write to succeed. Blocks (a write may take 100 ms):
// worker threads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace stele::machined {

inline constexpr char kEfiGlobalGuid[] = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
inline constexpr uint32_t kEfiNonVolatile = 1;
inline constexpr uint32_t kEfiBootAccess = 2;
inline constexpr uint32_t kEfiRuntimeAccess = 4;
inline constexpr uint32_t kEfiBootVariable = kEfiNonVolatile | kEfiBootAccess | kEfiRuntimeAccess;

struct EfiVariable {
  uint32_t attributes = 0;
  std::string data;
};

class EfiVariables {
 public:
  explicit EfiVariables(std::string root = "/sys/firmware/efi/efivars") : root_(std::move(root)) {}

  // UNIMPLEMENTED on a machine without EFI. Mounts efivarfs, read-only, where nobody has.
  absl::Status Prepare() const;

  // `name` with its GUID. NOT_FOUND when there is none.
  absl::StatusOr<EfiVariable> Read(const std::string& name) const;
  // Names, sorted, that begin with `prefix`.
  absl::StatusOr<std::vector<std::string>> List(absl::string_view prefix) const;

  // Makes or replaces it in one write; nothing is written when it holds the same. FAILED_PRECONDITION: the store is
  // read-only; RESOURCE_EXHAUSTED: it is full.
  absl::Status Write(const std::string& name, const EfiVariable& variable) const;
  // Removes it; one that is not there is no failure.
  absl::Status Remove(const std::string& name) const;

 private:
  std::string root_;
};

}  // namespace stele::machined
