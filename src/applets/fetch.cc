// fetch OFFSET [CA-FILE]: what the URL on standard input's line leads to, from that byte on, on standard output.
//
// wget speaks HTTP and TLS; it is the one program of the node that reads what a foreign server sends at machined's
// wish. So all but that is taken from it first: root, capabilities, the file system but for libraries, certificates
// and settings, writing any file, and most of the memory. The URL comes by standard input, since it may hold a secret
// and arguments can be seen.
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "applets/applets.h"
#include "base/landlock.h"

namespace stele::applets {
namespace {

constexpr uid_t kFetchUser = 903;  // image/etc/passwd
constexpr char kWget[] = "/usr/bin/wget";
// Neither of wget's own codes (0 to 8) nor of a shell's.
constexpr int kWrongUse = 64, kNotConfined = 70;

struct Limit {
  __rlimit_resource resource;
  rlim_t value;
};
// A quarter GiB holds wget, its libraries and what GnuTLS makes of the CA certificates.
constexpr Limit kLimits[] = {
    {RLIMIT_AS, 256 << 20}, {RLIMIT_CORE, 0}, {RLIMIT_FSIZE, 0}, {RLIMIT_NOFILE, 64}, {RLIMIT_NPROC, 8},
};

int Failed(const char* what) {
  fprintf(stderr, "fetch: %s: %s\n", what, strerror(errno));
  return kNotConfined;
}

// Root's capabilities go with its user.
bool LeaveRoot() {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(kFetchUser, kFetchUser, kFetchUser) == 0 &&
         ::setresuid(kFetchUser, kFetchUser, kFetchUser) == 0;
}

}  // namespace

int FetchMain(int argc, char** argv) {
  if (argc < 2 || argc > 3 || argv[1][strspn(argv[1], "0123456789")] != '\0') {
    fprintf(stderr, "fetch: usage: fetch OFFSET [CA-FILE], with the URL on standard input\n");
    return kWrongUse;
  }
  const char* ca_file = argc == 3 ? argv[2] : nullptr;
  for (const Limit& limit : kLimits) {
    rlimit both = {limit.value, limit.value};
    if (::setrlimit(limit.resource, &both) != 0) return Failed("set a limit");
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Failed("give up new privileges");
  // Libraries, certificates and settings may be read, nothing else; a kernel without Landlock leaves it at the user's
  // rights.
  errno = EnterLandlock({"/usr", "/etc", ca_file});
  if (errno != 0) return Failed("enter Landlock");
  if (!LeaveRoot()) return Failed("become user 903");
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return Failed("follow the caller's end");
  char start[48], ca[4096];
  snprintf(start, sizeof start, "--start-pos=%s", argv[1]);
  // With a CA file and an empty directory that file is all that is trusted; without, the list ends before the two, and
  // the system's CAs are.
  snprintf(ca, sizeof ca, "--ca-certificate=%s", ca_file == nullptr ? "" : ca_file);
  const char* words[] = {kWget, "--no-config", "--no-verbose", "--input-file=-", "--output-document=-", start,
                         // Who called decides about another try.
                         "--tries=1", "--timeout=30", "--max-redirect=5", "--no-hsts", "--no-netrc", "--no-iri",
                         "--no-cookies", "--no-proxy", "--user-agent=stele", ca_file == nullptr ? nullptr : ca,
                         "--ca-directory=", nullptr};
  const char* environment[] = {"PATH=/usr/bin", "LC_ALL=C", nullptr};
  ::execve(kWget, const_cast<char**>(words), const_cast<char**>(environment));
  return Failed(kWget);
}

}  // namespace stele::applets
