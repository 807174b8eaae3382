// applets: one binary, several names.
#include <cstdio>
#include <cstring>

#include "applets/applets.h"

namespace {

constexpr struct {
  const char* name;
  int (*run)(int argc, char** argv);
} kApplets[] = {
    {"mount", stele::applets::MountMain},   {"umount", stele::applets::UmountMain},
    {"fetch", stele::applets::FetchMain},   {"dhcp-report", stele::applets::DhcpReportMain},
    {"reaper", stele::applets::ReaperMain},
};

// The last part of a path.
const char* BaseName(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash != nullptr ? slash + 1 : path;
}

}  // namespace

int main(int argc, char** argv) {
  for (int skip = 0; skip < 2 && skip < argc; ++skip) {
    for (const auto& applet : kApplets) {
      if (strcmp(BaseName(argv[skip]), applet.name) == 0) return applet.run(argc - skip, argv + skip);
    }
  }
  fprintf(stderr, "applets: run as one of:");
  for (const auto& applet : kApplets) fprintf(stderr, " %s", applet.name);
  fprintf(stderr, "\n");
  return 1;
}
