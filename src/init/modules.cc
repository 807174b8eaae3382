#include "init/modules.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "init/clock.h"
#include "init/log.h"
#include "init/task.h"

namespace stele::init {
namespace {

constexpr size_t kMaxTable = 16 << 20;
constexpr uint64_t kDriversPatience = 10 * kSecond;

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
  // Loaded by the first stage, or built in: spares reading it and checking its signature again.
  if (::access(absl::StrCat("/sys/module/", NameOf(path)).c_str(), F_OK) == 0) return absl::OkStatus();
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return ErrnoStatus("open ", path);
  if (::syscall(SYS_finit_module, file.get(), "", 0) == 0 || errno == EEXIST) return absl::OkStatus();
  return ErrnoStatus("load ", path);
}

int LoadDriversTask(uint64_t) {
  absl::StatusOr<Modules> modules = Modules::Read(ModuleDirectory());
  if (!modules.ok()) {
    Log(Level::kWarning, "%s", std::string(modules.status().message()).c_str());
    return 1;
  }
  ModuleLoader(*std::move(modules)).LoadForDevices(/*processor=*/false);
  return 0;
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
  ASSIGN_OR_RETURN(modules.dependencies_, ReadFile(directory + "/modules.dep", kMaxTable));
  ForEachLine(modules.dependencies_, [&](absl::string_view line) {
    size_t colon = line.find(':');
    if (colon == absl::string_view::npos) return;
    modules.lines_.emplace_back(NameOf(line.substr(0, colon)),
                                static_cast<uint32_t>(line.data() - modules.dependencies_.data()));
  });
  std::sort(modules.lines_.begin(), modules.lines_.end());
  if (absl::StatusOr<std::string> builtin = ReadFile(directory + "/modules.builtin", kMaxTable); builtin.ok()) {
    modules.builtin_ = *std::move(builtin);
  }
  absl::StatusOr<std::string> aliases = ReadFile(directory + "/modules.alias", kMaxTable);
  if (!aliases.ok()) return modules;
  std::string& text = modules.alias_text_ = *std::move(aliases);
  constexpr absl::string_view kAlias = "alias ";
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    size_t pattern = begin + kAlias.size(), blank = text.find(' ', pattern);
    bool is_alias =
        text.compare(begin, kAlias.size(), kAlias.data()) == 0 && blank != std::string::npos && blank + 1 < end;
    if (end < text.size()) text[end] = '\0';
    if (is_alias) {
      text[blank] = '\0';
      modules.aliases_.push_back({static_cast<uint32_t>(pattern), static_cast<uint32_t>(blank + 1)});
    }
    begin = end + 1;
  }
  return modules;
}

absl::StatusOr<std::vector<std::string>> Modules::FilesOf(const std::string& name) const {
  std::string plain = NameOf(name);
  auto found = std::lower_bound(lines_.begin(), lines_.end(), std::make_pair(plain, uint32_t{0}));
  if (found == lines_.end() || found->first != plain) {
    bool built_in = false;
    ForEachLine(builtin_, [&](absl::string_view line) { built_in |= NameOf(line) == plain; });
    if (built_in) return std::vector<std::string>();
    return absl::NotFoundError(absl::StrCat("no module ", name, " in ", directory_));
  }
  absl::string_view line = absl::string_view(dependencies_).substr(found->second);
  line = line.substr(0, line.find('\n'));
  size_t colon = line.find(':');
  std::vector<std::string> files = Words(line.substr(colon + 1));
  // modules.dep names what a module needs in the order to load it from the end.
  std::reverse(files.begin(), files.end());
  files.emplace_back(line.substr(0, colon));
  for (std::string& file : files) {
    if (file[0] != '/') file = absl::StrCat(directory_, "/", file);
  }
  return files;
}

std::set<std::string> Modules::Matching(const std::string& modalias) const {
  std::set<std::string> names;
  // The bus, up to its colon, is never a pattern; most aliases end here.
  size_t bus = modalias.find(':');
  if (bus == std::string::npos) return names;
  for (const Alias& alias : aliases_) {
    const char* pattern = &alias_text_[alias.pattern];
    if (strncmp(pattern, modalias.c_str(), bus) != 0) continue;
    if (MatchesAlias(pattern, modalias.c_str())) names.insert(NameOf(&alias_text_[alias.name]));
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
  for (int round = 0; round < 3; ++round) {
    size_t at_start = loaded_.size();
    for (const std::string& modalias : Modaliases()) {
      if (!processor && modalias.compare(0, 4, "cpu:") == 0) continue;
      if (!seen_.insert(modalias).second) continue;
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

pid_t StartLoadingDrivers() { return StartTask(LoadDriversTask, 0); }

absl::Status WaitForDrivers(pid_t task) {
  if (task < 0) return StatusFromErrno(-task, "make a process that loads drivers");
  uint64_t until = Now() + kDriversPatience;
  int status = 0;
  while (::waitpid(task, &status, WNOHANG) != task) {
    if (Now() >= until) return absl::DeadlineExceededError("a driver does not come up; going on without it");
    timespec wait = {.tv_sec = 0, .tv_nsec = 2 * kMillisecond};
    ::nanosleep(&wait, nullptr);
  }
  return status == 0 ? absl::OkStatus() : absl::InternalError("drivers: see the kernel log");
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
