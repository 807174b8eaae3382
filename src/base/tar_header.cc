#include "base/tar_header.h"

#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace stele {
namespace {

// POSIX's layout.
struct Ustar {
  char name[100];
  char mode[8];
  char uid[8];
  char gid[8];
  char size[12];
  char mtime[12];
  char checksum[8];
  char type;
  char link[100];
  char magic[6];
  char version[2];
  char user[32];
  char group[32];
  char major[8];
  char minor[8];
  char prefix[155];
  char unused[12];
};
static_assert(sizeof(Ustar) == kTarBlock);

constexpr uint64_t kLargestSize = (1ULL << 33) - 1;  // 11 octal digits
constexpr uint64_t kLargestId = (1ULL << 21) - 1;    // 7

// Octal digits and a NUL, which fill the field.
template <size_t kSize>
void PutOctal(char (&field)[kSize], uint64_t value) {
  for (size_t i = kSize - 1; i-- > 0; value >>= 3) field[i] = static_cast<char>('0' + (value & 7));
  field[kSize - 1] = '\0';
}

template <size_t kSize>
void PutText(char (&field)[kSize], absl::string_view text) {
  std::memcpy(field, text.data(), std::min(kSize, text.size()));
}

std::string Sealed(Ustar& header) {
  std::memcpy(header.magic, "ustar", 6);
  std::memcpy(header.version, "00", 2);
  std::memset(header.checksum, ' ', sizeof header.checksum);
  uint64_t sum = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(&header);
  for (size_t i = 0; i < sizeof header; ++i) sum += bytes[i];
  std::snprintf(header.checksum, sizeof header.checksum, "%06o",
                static_cast<unsigned>(sum));  // then NUL, then the blank
  header.checksum[7] = ' ';
  return std::string(reinterpret_cast<const char*>(&header), sizeof header);
}

// "LENGTH KEY=VALUE\n", whose length counts its own digits.
std::string PaxRecord(absl::string_view key, absl::string_view value) {
  std::string rest = absl::StrCat(" ", key, "=", value, "\n");
  size_t size = rest.size() + 1;
  while (absl::StrCat(size).size() + rest.size() != size) ++size;
  return absl::StrCat(size, rest);
}

// Puts the name where ustar has room for it: whole, or split at a slash. False: it has none.
bool PutName(Ustar& header, const std::string& name) {
  if (name.size() <= sizeof header.name) {
    PutText(header.name, name);
    return true;
  }
  if (name.size() > sizeof header.prefix + 1 + sizeof header.name) return false;
  // The first slash that leaves few enough behind it; a directory's own at the end splits nothing off.
  size_t slash = name.find('/', name.size() - sizeof header.name - 1);
  if (slash == std::string::npos || slash == 0 || slash > sizeof header.prefix || slash + 1 == name.size())
    return false;
  PutText(header.prefix, absl::string_view(name).substr(0, slash));
  PutText(header.name, absl::string_view(name).substr(slash + 1));
  return true;
}

std::string PaxHeader(const std::string& records) {
  Ustar header = {};
  PutText(header.name, "pax-header");
  PutOctal(header.mode, 0644);
  PutOctal(header.uid, 0);
  PutOctal(header.gid, 0);
  PutOctal(header.size, records.size());
  PutOctal(header.mtime, 0);
  header.type = 'x';
  return absl::StrCat(Sealed(header), records, std::string(TarPadding(records.size()), '\0'));
}

}  // namespace

std::string TarHeader(const std::string& name, const struct stat& info, uint64_t size, const std::string& link_target) {
  std::string full = S_ISDIR(info.st_mode) ? name + "/" : name;
  std::string records;
  Ustar header = {};
  if (!PutName(header, full)) {
    absl::StrAppend(&records, PaxRecord("path", full));
    PutText(header.name, full);  // for who knows no pax: its beginning
  }
  PutText(header.link, link_target);
  if (link_target.size() > sizeof header.link) absl::StrAppend(&records, PaxRecord("linkpath", link_target));
  if (size > kLargestSize) absl::StrAppend(&records, PaxRecord("size", absl::StrCat(size)));
  if (info.st_uid > kLargestId) absl::StrAppend(&records, PaxRecord("uid", absl::StrCat(info.st_uid)));
  if (info.st_gid > kLargestId) absl::StrAppend(&records, PaxRecord("gid", absl::StrCat(info.st_gid)));
  bool old_time = info.st_mtime < 0 || static_cast<uint64_t>(info.st_mtime) > kLargestSize;
  if (old_time) absl::StrAppend(&records, PaxRecord("mtime", absl::StrCat(info.st_mtime)));
  PutOctal(header.mode, info.st_mode & 07777);
  PutOctal(header.uid, std::min<uint64_t>(info.st_uid, kLargestId));
  PutOctal(header.gid, std::min<uint64_t>(info.st_gid, kLargestId));
  PutOctal(header.size, std::min(size, kLargestSize));
  PutOctal(header.mtime, old_time ? 0 : static_cast<uint64_t>(info.st_mtime));
  header.type = S_ISDIR(info.st_mode) ? '5' : S_ISLNK(info.st_mode) ? '2' : '0';
  return absl::StrCat(records.empty() ? "" : PaxHeader(records), Sealed(header));
}

std::string TarEnd() { return std::string(2 * kTarBlock, '\0'); }

}  // namespace stele
