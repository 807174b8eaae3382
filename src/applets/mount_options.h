// The words after -o, as flags for mount(2) and data for the file system.
#pragma once

#include <string>

namespace stele::applets {

struct MountOptions {
  unsigned long flags = 0;        // MS_BIND, MS_REMOUNT, MS_RDONLY …
  unsigned long propagation = 0;  // MS_SHARED …, with MS_REC; a call of its own
  std::string data;               // what mount(2) does not know, for the file system

  // Adds a comma-separated list; later words win over earlier ones.
  void Add(const std::string& list);
};

}  // namespace stele::applets
