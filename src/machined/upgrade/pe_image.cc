#include "machined/upgrade/pe_image.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxSections = 96;
constexpr size_t kSectionHeader = 40;
constexpr uint16_t kPe32Plus = 0x20b;
constexpr uint16_t kEfiApplication = 10;

absl::Status Bad(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not an EFI program: ", what));
}

// Little-endian reads that answer 0 past the end; the caller has checked what matters.
uint64_t Read(absl::string_view bytes, size_t offset, size_t width) {
  if (offset > bytes.size() || bytes.size() - offset < width) return 0;
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) value |= uint64_t{static_cast<uint8_t>(bytes[offset + i])} << (8 * i);
  return value;
}

}  // namespace

absl::StatusOr<std::map<std::string, PeSection>> ReadPeSections(absl::string_view head, uint64_t file_size) {
  if (head.size() < 64 || !absl::StartsWith(head, "MZ")) return Bad("it does not begin with MZ");
  uint64_t pe = Read(head, 0x3c, 4);
  if (pe > head.size() || head.size() - pe < 24 + 70) return Bad("its PE header is past the end");
  if (head.substr(pe, 4) != absl::string_view("PE\0\0", 4)) return Bad("it has no PE header");
  uint64_t count = Read(head, pe + 6, 2);
  uint64_t optional_size = Read(head, pe + 20, 2);
  if (count == 0 || count > kMaxSections) return Bad(absl::StrCat("it has ", count, " sections"));
  if (Read(head, pe + 24, 2) != kPe32Plus) return Bad("it is not PE32+");
  if (Read(head, pe + 24 + 68, 2) != kEfiApplication) return Bad("it is not an EFI application");
  uint64_t table = pe + 24 + optional_size;
  if (table > head.size() || head.size() - table < count * kSectionHeader)
    return Bad("its section table is past the end");
  std::map<std::string, PeSection> sections;
  for (uint64_t i = 0; i < count; ++i) {
    absl::string_view header = head.substr(table + i * kSectionHeader, kSectionHeader);
    absl::string_view name = header.substr(0, 8);
    name = name.substr(0, std::min(name.find('\0'), name.size()));
    uint64_t virtual_size = Read(header, 8, 4);
    uint64_t raw_size = Read(header, 16, 4);
    uint64_t offset = Read(header, 20, 4);
    if (raw_size > file_size || offset > file_size - raw_size) {
      return Bad(absl::StrCat("section ", name, " ends past the file's end"));
    }
    if (!sections.emplace(name, PeSection{offset, std::min(virtual_size, raw_size)}).second) {
      return Bad(absl::StrCat("it has section ", name, " twice"));
    }
  }
  return sections;
}

std::string RootHashOf(absl::string_view command_line) {
  for (absl::string_view word : absl::StrSplit(command_line, absl::ByAnyChar(absl::string_view(" \n\t\0", 4)))) {
    constexpr absl::string_view kKey = "stele.root=";
    if (!absl::StartsWith(word, kKey)) continue;
    word.remove_prefix(kKey.size());
    return std::string(word.substr(0, word.find(':')));
  }
  return "";
}

}  // namespace stele::machined
