#include "base/last_words.h"

#include <fcntl.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "base/unique_fd.h"

namespace stele {
namespace {

constexpr absl::string_view kMagic = "STELE-LAST-WORDS\n";
constexpr size_t kMaxField = 128;
constexpr absl::string_view kCutOff = "...";

// Takes a line off the front; false when there is no whole one.
bool TakeLine(absl::string_view* from, std::string* line) {
  size_t end = from->find('\n');
  if (end == absl::string_view::npos) return false;
  *line = std::string(from->substr(0, end));
  from->remove_prefix(end + 1);
  return true;
}

}  // namespace

std::string FormatLastWords(const LastWords& words) {
  std::string sector = absl::StrCat(kMagic, absl::string_view(words.root_hash).substr(0, kMaxField), "\n",
                                    absl::string_view(words.entry).substr(0, kMaxField), "\n");
  size_t room = kLastWordsSize - sector.size();
  absl::string_view text = words.text;
  if (text.size() <= room) {
    absl::StrAppend(&sector, text);
  } else {
    // The first line says why, and the last ones of the log are the newest: what is between them goes.
    absl::string_view why = text.substr(0, std::min(text.find('\n'), room / 2));
    size_t rest = room - why.size() - 1 - kCutOff.size();
    absl::StrAppend(&sector, why, "\n", kCutOff, text.substr(text.size() - rest));
  }
  sector.resize(kLastWordsSize);
  return sector;
}

absl::StatusOr<LastWords> ParseLastWords(absl::string_view sector) {
  LastWords words;
  bool ours = sector.size() >= kLastWordsSize && sector.substr(0, kMagic.size()) == kMagic;
  if (ours) {
    sector = sector.substr(kMagic.size(), kLastWordsSize - kMagic.size());
    ours = TakeLine(&sector, &words.root_hash) && TakeLine(&sector, &words.entry);
  }
  if (!ours) return absl::NotFoundError("no last words of an image");
  words.text = std::string(sector.substr(0, sector.find('\0')));
  // Whatever a disk holds, or where a log was cut: only text goes on to where people read it.
  for (char& c : words.text) {
    if ((c < ' ' && c != '\n') || c == 127) c = '?';  // char is signed: those of UTF-8 as well
  }
  return words;
}

absl::Status WriteLastWords(const std::string& disk, const LastWords& words) {
  UniqueFd fd(::open(disk.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", disk);
  std::string sector = FormatLastWords(words);
  ssize_t written = ::pwrite(fd.get(), sector.data(), sector.size(), kLastWordsOffset);
  if (written < 0) return ErrnoStatus("write last words to ", disk);
  if (written != static_cast<ssize_t>(sector.size()))
    return absl::DataLossError(absl::StrCat("write last words to ", disk, ": too short"));
  if (::fsync(fd.get()) != 0) return ErrnoStatus("flush last words to ", disk);
  return absl::OkStatus();
}

absl::StatusOr<LastWords> ReadLastWords(const std::string& disk) {
  UniqueFd fd(::open(disk.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", disk);
  char sector[kLastWordsSize];
  ssize_t got = ::pread(fd.get(), sector, sizeof sector, kLastWordsOffset);
  if (got < 0) return ErrnoStatus("read last words from ", disk);
  return ParseLastWords(absl::string_view(sector, static_cast<size_t>(got)));
}

absl::StatusOr<std::string> WholeDiskOf(const std::string& partition, const std::string& sys_block) {
  std::string name = partition.substr(partition.rfind('/') + 1);
  std::string folder = absl::StrCat(sys_block, "/", name);
  char target[PATH_MAX];
  if (::access(absl::StrCat(folder, "/partition").c_str(), F_OK) != 0 || ::realpath(folder.c_str(), target) == nullptr)
    return absl::NotFoundError(absl::StrCat(partition, " is no partition of a disk"));
  absl::string_view path(target);
  path = path.substr(0, path.rfind('/'));
  return absl::StrCat("/dev/", path.substr(path.rfind('/') + 1));
}

}  // namespace stele
