// Kernel modules: which there are, what they need, and what devices ask for.
//
// The files are depmod's text ones. Loading runs in a task: the tables' memory goes with it, and a
// driver that hangs does not hang init.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "base/status.h"

namespace stele::init {

class Modules {
 public:
  // Reads modules.dep, modules.alias and modules.builtin below `directory`, such as /lib/modules/6.12.1.
  static absl::StatusOr<Modules> Read(const std::string& directory);

  // The files of `name` and all it needs, in the order to load them; NOT_FOUND for an unknown name.
  // Empty for what is built into the kernel. '-' and '_' are the same.
  absl::StatusOr<std::vector<std::string>> FilesOf(const std::string& name) const;
  // Names of the modules whose alias patterns match a device's modalias.
  std::set<std::string> Matching(const std::string& modalias) const;

 private:
  // Where in its text; not a view, which would not survive a move.
  struct Alias {
    uint32_t pattern = 0, name = 0;  // both end in NUL
  };
  std::string directory_;
  std::string dependencies_, builtin_, alias_text_;
  std::vector<std::pair<std::string, uint32_t>> lines_;  // a module's name and its line in dependencies_, sorted
  std::vector<Alias> aliases_;
};

// The modaliases of all devices below `directory`, each once.
std::set<std::string> Modaliases(const std::string& directory = "/sys/devices");

// Loads modules once each.
class ModuleLoader {
 public:
  explicit ModuleLoader(Modules modules) : modules_(std::move(modules)) {}
  // Loads `name` with what it needs.
  absl::Status Load(const std::string& name);
  // Loads what the devices that are there ask for; how many modules that were. Without `processor`
  // not what the processor's features ask for: ciphers, which nothing needs to boot.
  size_t LoadForDevices(bool processor);
  size_t loaded() const { return loaded_.size(); }

 private:
  Modules modules_;
  std::set<std::string> loaded_;  // files
  std::set<std::string> seen_;    // modaliases
};

// Loads what devices ask for, in a task: its pid, or -errno.
pid_t StartLoadingDrivers();
// Waits for it, at most 10 s.
absl::Status WaitForDrivers(pid_t task);

// Whether `text` matches an alias pattern: '*', '?' and [a-z] as in fnmatch(3), which would bring
// the wide characters of all locales into init.
bool MatchesAlias(const char* pattern, const char* text);

// The names in a list file: one a line, '#' begins a comment.
std::vector<std::string> ReadModuleList(const std::string& path);

// /lib/modules/ and the running kernel's release.
std::string ModuleDirectory();

}  // namespace stele::init
