#include "init/gpt.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "base/crc32.h"

namespace stele::init {
namespace {

constexpr uint32_t kMaxSector = 4096;
constexpr size_t kLeastHeader = 92;
constexpr uint32_t kLeastEntry = 128, kMostEntry = 4096;
constexpr uint32_t kMaxTable = 128 * 1024;  // 128 entries of 128 bytes are 16 KiB

template <typename Number>
Number Little(const char* at) {
  Number number;  // the machine's order is the table's: x86-64 and arm64 are little-endian
  memcpy(&number, at, sizeof number);
  return number;
}

absl::Status ReadExactly(int fd, uint64_t offset, std::string& into) {
  size_t done = 0;
  while (done < into.size()) {
    ssize_t got = ::pread(fd, &into[done], into.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus("read the partition table at byte ", offset);
    if (got == 0) return absl::DataLossError("the partition table is cut off");
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

// 16 bytes as text: the first three groups are little-endian numbers.
std::string FormatGuid(const char* bytes) {
  char text[40];
  auto at = [&](int i) { return static_cast<unsigned>(static_cast<unsigned char>(bytes[i])); };
  snprintf(text, sizeof text, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", Little<uint32_t>(bytes),
           Little<uint16_t>(bytes + 4), Little<uint16_t>(bytes + 6), at(8), at(9), at(10), at(11), at(12), at(13),
           at(14), at(15));
  return text;
}

absl::StatusOr<std::vector<GptPartition>> ReadTable(int fd, uint32_t sector_size, uint64_t sectors, uint64_t lba) {
  std::string header(sector_size, '\0');
  RETURN_IF_ERROR(ReadExactly(fd, lba * sector_size, header));
  if (memcmp(header.data(), "EFI PART", 8) != 0) return absl::NotFoundError("no GPT");
  uint32_t header_size = Little<uint32_t>(&header[12]);
  if (header_size < kLeastHeader || header_size > sector_size)
    return absl::DataLossError("GPT: a header of a bad size");
  std::string checked = header.substr(0, header_size);
  memset(&checked[16], 0, 4);
  if (Crc32(checked) != Little<uint32_t>(&header[16]))
    return absl::DataLossError("GPT: the header's checksum is wrong");
  if (Little<uint64_t>(&header[24]) != lba) return absl::DataLossError("GPT: a header from elsewhere");

  uint64_t table_lba = Little<uint64_t>(&header[72]);
  uint32_t count = Little<uint32_t>(&header[80]), entry_size = Little<uint32_t>(&header[84]);
  if (entry_size < kLeastEntry || entry_size > kMostEntry || entry_size % 8 != 0 || count == 0 ||
      count > kMaxTable / entry_size) {
    return absl::DataLossError("GPT: a table of a bad size");
  }
  uint64_t table_sectors = (uint64_t{count} * entry_size + sector_size - 1) / sector_size;
  if (table_lba < 2 || table_lba >= sectors || table_sectors > sectors - table_lba) {
    return absl::DataLossError("GPT: the table is not on the disk");
  }
  std::string table(size_t{count} * entry_size, '\0');
  RETURN_IF_ERROR(ReadExactly(fd, table_lba * sector_size, table));
  if (Crc32(table) != Little<uint32_t>(&header[88])) return absl::DataLossError("GPT: the table's checksum is wrong");

  std::vector<GptPartition> partitions;
  static constexpr char kUnused[16] = {};
  for (uint32_t i = 0; i < count; ++i) {
    const char* entry = &table[size_t{i} * entry_size];
    if (memcmp(entry, kUnused, sizeof kUnused) == 0) continue;  // the type's GUID
    partitions.push_back({i + 1, FormatGuid(entry + 16)});
  }
  return partitions;
}

}  // namespace

absl::StatusOr<std::vector<GptPartition>> ReadGpt(int fd, uint32_t sector_size, uint64_t size) {
  if (sector_size < 512 || sector_size > kMaxSector || (sector_size & (sector_size - 1)) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("sectors of ", sector_size, " bytes"));
  }
  uint64_t sectors = size / sector_size;
  if (sectors < 4) return absl::NotFoundError("too small for a GPT");
  absl::StatusOr<std::vector<GptPartition>> first = ReadTable(fd, sector_size, sectors, 1);
  if (first.ok()) return first;
  absl::StatusOr<std::vector<GptPartition>> backup = ReadTable(fd, sector_size, sectors, sectors - 1);
  return backup.ok() ? backup : first;
}

}  // namespace stele::init
