#include "machined/providers/kernel_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/unique_fd.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxBytes = 8 << 20;

bool ParseNumber(absl::string_view text, uint64_t* number) {
  if (absl::ConsumePrefix(&text, "0x")) return absl::SimpleHexAtoi(text, number);
  return absl::SimpleAtoi(text, number);
}

}  // namespace

std::string TextOf(const std::string& path, size_t limit) {
  std::string bytes = BytesOf(path);
  absl::string_view text = absl::StripAsciiWhitespace(bytes);
  return Printable(text.substr(0, limit));
}

std::string BytesOf(const std::string& path) {
  std::string bytes;
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[16 * 1024];
  while (fd.ok() && bytes.size() < kMaxBytes) {
    ssize_t got = ::read(fd.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return bytes;
    bytes.append(buffer, static_cast<size_t>(got));
  }
  return bytes.substr(0, bytes.rfind('\n') + 1);
}

uint64_t NumberOf(const std::string& path, uint64_t otherwise) {
  std::string bytes = BytesOf(path);
  uint64_t number = 0;
  return ParseNumber(absl::StripAsciiWhitespace(bytes), &number) ? number : otherwise;
}

std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
  if (open == nullptr) return names;
  while (dirent* entry = ::readdir(open.get())) {
    absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string LinkName(const std::string& path) {
  char target[PATH_MAX];
  ssize_t size = ::readlink(path.c_str(), target, sizeof(target));
  if (size <= 0) return "";
  absl::string_view text(target, static_cast<size_t>(size));
  return Printable(text.substr(text.rfind('/') + 1));
}

std::string Printable(absl::string_view text) {
  std::string plain(text);
  for (char& c : plain) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c)) && c != '\n' && c != '\t') c = '?';
  }
  return plain;
}

uint64_t Keyed(absl::string_view text, absl::string_view key, uint64_t otherwise) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, key)) continue;
    absl::ConsumePrefix(&line, ":");
    if (line.empty() || !absl::ascii_isspace(static_cast<unsigned char>(line.front()))) continue;
    line = absl::StripAsciiWhitespace(line);
    uint64_t number = 0;
    if (ParseNumber(line.substr(0, line.find_first_of(" \t")), &number)) return number;
  }
  return otherwise;
}

absl::Duration FromTicks(uint64_t ticks) {
  return absl::Seconds(1) * static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace stele::machined
