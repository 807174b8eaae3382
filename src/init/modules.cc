#include "init/modules.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "init/log.h"

namespace stele::init {
namespace {

constexpr size_t kMaxTable = 16 << 20;

// "kernel/net/br-netfilter.ko" → "br_netfilter"
std::string NameOf(absl::string_view file) {
  size_t slash = file.rfind('/');
  if (slash != absl::string_view::npos) file.remove_prefix(slash + 1);
  std::string name(file.substr(0, file.find('.')));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// Calls `each` for every line of `text`.
template <typename Each>
void ForEachLine(absl::string_view text, Each each) {
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    each(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// The words of a line.
std::vector<std::string> Words(absl::string_view line) {
  std::vector<std::string> words;
  while (true) {
    size_t begin = line.find_first_not_of(" \t");
    if (begin == absl::string_view::npos) return words;
    line.remove_prefix(begin);
    size_t end = std::min(line.find_first_of(" \t"), line.size());
    words.emplace_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

void CollectModaliases(int parent, const char* name, int depth, std::set<std::string>& found) {
  int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return;
  DIR* directory = ::fdopendir(fd);
  if (directory == nullptr) {
    ::close(fd);
    return;
  }
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && depth < 24) {
      CollectModaliases(fd, entry->d_name, depth + 1, found);
    } else if (entry->d_type == DT_REG && strcmp(entry->d_name, "modalias") == 0) {
      UniqueFd file(::openat(fd, entry->d_name, O_RDONLY | O_CLOEXEC));
      char text[512];
      ssize_t got = file.ok() ? ::read(file.get(), text, sizeof text) : 0;
      if (got > 1) found.emplace(text, text[got - 1] == '\n' ? got - 1 : got);
    }
  }
  ::closedir(directory);
}

absl::Status LoadFile(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return ErrnoStatus("open ", path);
  if (::syscall(SYS_finit_module, file.get(), "", 0) == 0 || errno == EEXIST) return absl::OkStatus();
  return ErrnoStatus("load ", path);
}

// Whether `c` is in the set that begins after '['; moves past its ']'.
bool InSet(const char*& set, char c) {
  bool found = false;
  while (*set != '\0' && *set != ']') {
    if (set[1] == '-' && set[2] != '\0' && set[2] != ']') {
      found |= set[0] <= c && c <= set[2];
      set += 3;
    } else {
      found |= *set++ == c;
    }
  }
  if (*set == ']') ++set;
  return found;
}

}  // namespace

bool MatchesAlias(const char* pattern, const char* text) {
  const char* star = nullptr;  // where to go on after a '*' that has to take one character more
  const char* star_text = nullptr;
  while (true) {
    if (*pattern == '*') {
      star = ++pattern;
      star_text = text;
      continue;
    }
    if (*text == '\0' && *pattern == '\0') return true;
    bool matches = false;
    const char* next = pattern;
    if (*text != '\0' && *pattern == '[') {
      matches = InSet(++next, *text);
    } else if (*text != '\0' && *pattern != '\0') {
      matches = *next == '?' || *next == *text;
      ++next;
    }
    if (matches) {
      pattern = next;
      ++text;
    } else {
      if (star == nullptr || *star_text == '\0') return false;
      pattern = star;
      text = ++star_text;
    }
  }
}

absl::StatusOr<Modules> Modules::Read(const std::string& directory) {
  Modules modules;
  modules.directory_ = directory;
  ASSIGN_OR_RETURN(std::string dependencies, ReadFile(directory + "/modules.dep", kMaxTable));
  ForEachLine(dependencies, [&](absl::string_view line) {
    size_t colon = line.find(':');
    if (colon == absl::string_view::npos) return;
    std::vector<std::string> files = Words(line.substr(colon + 1));
    files.insert(files.begin(), std::string(line.substr(0, colon)));
    modules.files_.emplace(NameOf(files[0]), std::move(files));
  });
  if (absl::StatusOr<std::string> builtin = ReadFile(directory + "/modules.builtin", kMaxTable); builtin.ok()) {
    ForEachLine(*builtin, [&](absl::string_view line) { modules.builtin_.insert(NameOf(line)); });
  }
  if (absl::StatusOr<std::string> aliases = ReadFile(directory + "/modules.alias", kMaxTable); aliases.ok()) {
    ForEachLine(*aliases, [&](absl::string_view line) {
      std::vector<std::string> words = Words(line);
      if (words.size() == 3 && words[0] == "alias") modules.aliases_.emplace_back(words[1], NameOf(words[2]));
    });
  }
  return modules;
}

absl::StatusOr<std::vector<std::string>> Modules::FilesOf(const std::string& name) const {
  std::string plain = NameOf(name);
  auto found = files_.find(plain);
  if (found == files_.end()) {
    if (builtin_.count(plain) > 0) return std::vector<std::string>();
    return absl::NotFoundError(absl::StrCat("no module ", name, " in ", directory_));
  }
  // modules.dep names what a module needs in the order to load it from the end.
  std::vector<std::string> files(found->second.rbegin(), found->second.rend());
  for (std::string& file : files) {
    if (file[0] != '/') file = absl::StrCat(directory_, "/", file);
  }
  return files;
}

std::set<std::string> Modules::Matching(const std::string& modalias) const {
  std::set<std::string> names;
  for (const auto& [pattern, name] : aliases_) {
    // The bus, up to its colon, is never a pattern; most aliases end here.
    size_t bus = std::min(pattern.find_first_of(":*?["), modalias.size());
    if (modalias.compare(0, bus, pattern, 0, bus) != 0) continue;
    if (MatchesAlias(pattern.c_str(), modalias.c_str())) names.insert(name);
  }
  return names;
}

std::set<std::string> Modaliases(const std::string& directory) {
  std::set<std::string> found;
  CollectModaliases(AT_FDCWD, directory.c_str(), 0, found);
  return found;
}

absl::Status ModuleLoader::Load(const std::string& name) {
  ASSIGN_OR_RETURN(std::vector<std::string> files, modules_.FilesOf(name));
  for (const std::string& file : files) {
    if (loaded_.count(file) > 0) continue;
    RETURN_IF_ERROR(LoadFile(file));
    loaded_.insert(file);
  }
  return absl::OkStatus();
}

size_t ModuleLoader::LoadForDevices(bool processor) {
  size_t before = loaded_.size();
  // A driver may bring up a bus with more devices on it: twice is enough for virtio behind PCI.
  std::set<std::string> seen;
  for (int round = 0; round < 3; ++round) {
    size_t at_start = loaded_.size();
    for (const std::string& modalias : Modaliases()) {
      if (!seen.insert(modalias).second) continue;
      if (!processor && modalias.compare(0, 4, "cpu:") == 0) continue;
      for (const std::string& name : modules_.Matching(modalias)) {
        absl::Status status = Load(name);
        // A driver without its hardware after all says ENODEV; that is no news.
        if (!status.ok() && !absl::IsNotFound(status)) {
          Log(Level::kWarning, "%s", std::string(status.message()).c_str());
        }
      }
    }
    if (loaded_.size() == at_start) break;
  }
  return loaded_.size() - before;
}

std::vector<std::string> ReadModuleList(const std::string& path) {
  std::vector<std::string> names;
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return names;
  ForEachLine(*text, [&](absl::string_view line) {
    for (std::string& word : Words(line.substr(0, line.find('#')))) names.push_back(std::move(word));
  });
  return names;
}

std::string ModuleDirectory() {
  utsname name;
  ::uname(&name);
  return absl::StrCat("/lib/modules/", name.release);
}

}  // namespace stele::init
