#include "machined/providers/disk_health.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace stele::machined {
namespace {

using resource::v1::DiskHealth;

constexpr size_t kAnswer = 512;
constexpr int kCelsius = 273;  // less than kelvin, rounded as disks do

// Little-endian; of a wider counter the low 8 bytes, which no disk lives to fill.
uint64_t NumberAt(absl::string_view bytes, size_t at, size_t size) {
  uint64_t number = 0;
  for (size_t i = 0; i < size; ++i) number |= uint64_t{static_cast<uint8_t>(bytes[at + i])} << (8 * i);
  return number;
}

// Offsets in the NVMe log.
enum NvmeField : size_t {
  kWarnings = 0,
  kTemperature = 1,
  kSpare = 3,
  kUsed = 5,
  kDataUnitsWritten = 48,
  kPowerCycles = 112,
  kPowerOnHours = 128,
  kUnsafeShutdowns = 144,
  kMediaErrors = 160,
};
constexpr uint64_t kDataUnit = 512'000;
constexpr const char* kNvmeWarnings[] = {"spare low", "temperature",   "reliability",
                                         "read-only", "backup failed", "memory region"};

// Attributes in ATA's data: 30 of 12 bytes.
constexpr size_t kAttributes = 2;
constexpr size_t kAttributeCount = 30;
constexpr size_t kAttributeSize = 12;
constexpr size_t kRaw = 5;
enum AtaAttribute : uint8_t { kReallocated = 5, kHours = 9, kCycles = 12, kCelsiusNow = 194, kPending = 197 };

absl::Status Size(absl::string_view bytes) {
  if (bytes.size() == kAnswer) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a health answer of ", bytes.size(), " bytes, expected ", kAnswer));
}

}  // namespace

absl::StatusOr<DiskHealth> ParseNvmeLog(absl::string_view log) {
  RETURN_IF_ERROR(Size(log));
  DiskHealth health;
  uint64_t warnings = NumberAt(log, kWarnings, 1);
  health.set_healthy(warnings == 0);
  for (size_t bit = 0; bit < std::size(kNvmeWarnings); ++bit) {
    if (warnings & (uint64_t{1} << bit)) health.add_warnings(kNvmeWarnings[bit]);
  }
  uint64_t kelvin = NumberAt(log, kTemperature, 2);
  if (kelvin != 0) health.set_temperature(static_cast<int32_t>(kelvin) - kCelsius);
  health.set_spare_percent(static_cast<uint32_t>(NumberAt(log, kSpare, 1)));
  health.set_used_percent(static_cast<uint32_t>(NumberAt(log, kUsed, 1)));
  health.set_written_bytes(NumberAt(log, kDataUnitsWritten, 8) * kDataUnit);
  health.set_power_cycles(NumberAt(log, kPowerCycles, 8));
  health.set_power_on_hours(NumberAt(log, kPowerOnHours, 8));
  health.set_unsafe_shutdowns(NumberAt(log, kUnsafeShutdowns, 8));
  health.set_media_errors(NumberAt(log, kMediaErrors, 8));
  return health;
}

absl::StatusOr<DiskHealth> ParseAtaSmart(absl::string_view data) {
  RETURN_IF_ERROR(Size(data));
  uint8_t sum = 0;
  for (char c : data) sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(c));
  if (sum != 0) return absl::InvalidArgumentError("a health answer with a wrong checksum");
  DiskHealth health;
  for (size_t i = 0; i < kAttributeCount; ++i) {
    size_t at = kAttributes + i * kAttributeSize;
    uint64_t raw = NumberAt(data, at + kRaw, 6);
    switch (static_cast<uint8_t>(data[at])) {
      case kReallocated:
        health.set_reallocated_sectors(raw);
        break;
      case kHours:
        health.set_power_on_hours(raw & 0xffffffff);  // some makers keep minutes above
        break;
      case kCycles:
        health.set_power_cycles(raw);
        break;
      case kCelsiusNow:
        health.set_temperature(static_cast<int32_t>(raw & 0xff));  // the lowest and the highest ever are above
        break;
      case kPending:
        health.set_pending_sectors(raw);
        break;
      default:
        break;
    }
  }
  return health;
}

}  // namespace stele::machined
