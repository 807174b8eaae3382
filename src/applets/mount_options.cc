#include "applets/mount_options.h"

#include <sys/mount.h>

namespace stele::applets {
namespace {

struct Word {
  const char* name;
  unsigned long set;
  unsigned long clear;
  unsigned long propagation;
};

constexpr Word kWords[] = {
    {"defaults", 0, 0, 0},
    {"ro", MS_RDONLY, 0, 0},
    {"rw", 0, MS_RDONLY, 0},
    {"nosuid", MS_NOSUID, 0, 0},
    {"suid", 0, MS_NOSUID, 0},
    {"nodev", MS_NODEV, 0, 0},
    {"dev", 0, MS_NODEV, 0},
    {"noexec", MS_NOEXEC, 0, 0},
    {"exec", 0, MS_NOEXEC, 0},
    {"sync", MS_SYNCHRONOUS, 0, 0},
    {"async", 0, MS_SYNCHRONOUS, 0},
    {"dirsync", MS_DIRSYNC, 0, 0},
    {"mand", MS_MANDLOCK, 0, 0},
    {"nomand", 0, MS_MANDLOCK, 0},
    {"noatime", MS_NOATIME, 0, 0},
    {"atime", 0, MS_NOATIME, 0},
    {"nodiratime", MS_NODIRATIME, 0, 0},
    {"diratime", 0, MS_NODIRATIME, 0},
    {"relatime", MS_RELATIME, 0, 0},
    {"norelatime", 0, MS_RELATIME, 0},
    {"strictatime", MS_STRICTATIME, 0, 0},
    {"lazytime", MS_LAZYTIME, 0, 0},
    {"silent", MS_SILENT, 0, 0},
    {"remount", MS_REMOUNT, 0, 0},
    {"bind", MS_BIND, 0, 0},
    {"rbind", MS_BIND | MS_REC, 0, 0},
    {"shared", 0, 0, MS_SHARED},
    {"rshared", 0, 0, MS_SHARED | MS_REC},
    {"slave", 0, 0, MS_SLAVE},
    {"rslave", 0, 0, MS_SLAVE | MS_REC},
    {"private", 0, 0, MS_PRIVATE},
    {"rprivate", 0, 0, MS_PRIVATE | MS_REC},
    {"unbindable", 0, 0, MS_UNBINDABLE},
    {"runbindable", 0, 0, MS_UNBINDABLE | MS_REC},
    // Words for mount(8) and fstab; no kernel knows them.
    {"_netdev", 0, 0, 0},
    {"auto", 0, 0, 0},
    {"noauto", 0, 0, 0},
    {"nofail", 0, 0, 0},
    {"user", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0, 0},
    {"nouser", 0, 0, 0},
};

const Word* Find(const std::string& name) {
  for (const Word& word : kWords) {
    if (name == word.name) return &word;
  }
  return nullptr;
}

// The end of the word that begins at `begin`: a comma inside of quotes, as SELinux contexts have
// them, does not end it.
size_t EndOfWord(const std::string& list, size_t begin) {
  bool quoted = false;
  for (size_t at = begin; at < list.size(); ++at) {
    if (list[at] == '"') quoted = !quoted;
    if (list[at] == ',' && !quoted) return at;
  }
  return list.size();
}

}  // namespace

void MountOptions::Add(const std::string& list) {
  for (size_t begin = 0; begin < list.size();) {
    size_t end = EndOfWord(list, begin);
    std::string name = list.substr(begin, end - begin);
    begin = end + 1;
    if (name.empty()) continue;
    if (const Word* word = Find(name)) {
      flags = (flags | word->set) & ~word->clear;
      propagation |= word->propagation;
    } else {
      if (!data.empty()) data += ',';
      data += name;
    }
  }
}

}  // namespace stele::applets
