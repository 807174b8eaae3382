// What the services of the scenarios do.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/file.h"
#include "init_peer.h"

namespace stele::node_test {
namespace {

int Exit(int, char** argv) { return atoi(argv[1]); }

int DieBy(int, char** argv) {
  rlimit none = {0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  // By system call: the C library keeps two signals for itself.
  ::syscall(SYS_kill, ::getpid(), atoi(argv[1]));
  ::sleep(5);
  return 77;
}

int Pause(int, char**) {
  while (true) ::pause();
}

// Ignores SIGTERM, and so does a child in a session of its own.
int IgnoreTerm(int, char**) {
  ::signal(SIGTERM, SIG_IGN);
  if (::fork() == 0) {
    ::setsid();
    Say("grandchild %d", ::getpid());
    while (true) ::pause();
  }
  Say("ready");
  while (true) ::pause();
}

// Makes argv[1] orphans: each batch's parent leaves while its children end.
int Orphans(int, char** argv) {
  constexpr int kBatch = 500;
  int wanted = atoi(argv[1]), made = 0;
  auto* counter = static_cast<int*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  while (made < wanted) {
    *counter = 0;
    pid_t parent = ::fork();
    if (parent == 0) {
      for (int i = 0; i < kBatch && made + i < wanted; ++i) {
        pid_t child = ::fork();
        if (child == 0) ::_exit(0);
        if (child > 0) ++*counter;
      }
      ::_exit(0);
    }
    ::waitpid(parent, nullptr, 0);
    made += *counter;
  }
  Say("orphans %d", made);
  return 0;
}

// Writes numbered lines, slowly enough that no pipe fills in a test.
int Lines(int, char**) {
  for (int number = 0;; ++number) {
    char line[32];
    int size = snprintf(line, sizeof line, "line %d\n", number);
    (void)!::write(1, line, static_cast<size_t>(size));
    ::usleep(500);
  }
}

// Floods its output for argv[1] ms and tells the longest write.
int Flood(int, char** argv) {
  char block[4096];
  memset(block, 'x', sizeof block);
  block[sizeof block - 1] = '\n';
  uint64_t end = NowNs() + strtoull(argv[1], nullptr, 10) * 1'000'000, longest = 0, written = 0;
  for (uint64_t before = NowNs(); before < end;) {
    // As in a log, no two alike: init knows by the first bytes whether a full pipe moves.
    snprintf(block, sizeof block, "%llu", static_cast<unsigned long long>(written));
    ssize_t put = ::write(1, block, sizeof block);
    uint64_t after = NowNs();
    if (after - before > longest) longest = after - before;
    before = after;
    if (put > 0) written += static_cast<uint64_t>(put);
  }
  Say("longest-write-ms %llu", static_cast<unsigned long long>(longest / 1'000'000));
  Say("written %llu", static_cast<unsigned long long>(written));
  return 0;
}

// Answers one connection on its listening socket with its pid, then exits: the next needs a restart.
int ServeOne(int, char**) {
  int connection = ::accept4(3, nullptr, nullptr, SOCK_CLOEXEC);
  while (connection < 0 && errno == EAGAIN) {
    ::usleep(1000);
    connection = ::accept4(3, nullptr, nullptr, SOCK_CLOEXEC);
  }
  char text[64];
  const char* listen_pid = getenv("LISTEN_PID");
  int size = snprintf(text, sizeof text, "%d %s %s", ::getpid(), listen_pid ? listen_pid : "?",
                      getenv("LISTEN_FDS") ? getenv("LISTEN_FDS") : "?");
  (void)!::write(connection, text, static_cast<size_t>(size));
  return 0;
}

// Tells who it is: a copy of its /proc/self/status and what else it can see, in a file of argv[1].
int Describe(int, char** argv) {
  std::string text = ReadFile("/proc/self/status").value_or("");
  char link[128] = {};
  (void)!::readlink("/proc/self/ns/pid", link, sizeof link - 1);
  absl::StrAppend(&text, "PidNs:\t", link, "\n");
  memset(link, 0, sizeof link);
  (void)!::readlink("/proc/self/ns/mnt", link, sizeof link - 1);
  absl::StrAppend(&text, "MountNs:\t", link, "\n", "Sees:\t", ::access("/hidden/secret", F_OK) == 0, "\n");
  text += "Fds:\t";
  for (int fd = 0; fd < 256; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) absl::StrAppend(&text, fd, " ");
  }
  absl::StrAppend(&text, "\nSession:\t", ::getsid(0) == ::getpid(), "\nEnv:\t");
  for (char** variable = environ; *variable != nullptr; ++variable) absl::StrAppend(&text, *variable, " ");
  char directory[256];
  absl::StrAppend(&text, "\nCwd:\t", ::getcwd(directory, sizeof directory), "\nOom:\t",
                  ReadFile("/proc/self/oom_score_adj").value_or("?"), "Cgroup:\t",
                  ReadFile("/proc/self/cgroup").value_or("?"), "\n");
  rlimit files = {};
  ::getrlimit(RLIMIT_NOFILE, &files);
  absl::StrAppend(&text, "Nofile:\t", files.rlim_cur, "\n");
  UniqueFd file(::open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  WriteAll(file.get(), text).IgnoreError();
  return 0;
}

// Stands in a directory, which keeps its file system busy, and ignores SIGTERM.
int Busy(int, char** argv) {
  ::signal(SIGTERM, SIG_IGN);
  (void)!::chdir(argv[1]);
  Say("ready");
  while (true) ::pause();
}

constexpr struct {
  const char* name;
  int (*run)(int argc, char** argv);
} kRoles[] = {
    {"exit", Exit},   {"die-by", DieBy}, {"pause", Pause},        {"ignore-term", IgnoreTerm}, {"orphans", Orphans},
    {"lines", Lines}, {"flood", Flood},  {"serve-one", ServeOne}, {"describe", Describe},      {"busy", Busy},
};

}  // namespace

int RunRole(int argc, char** argv) {
  for (const auto& role : kRoles) {
    if (strcmp(role.name, argv[0]) == 0) return role.run(argc, argv);
  }
  return 99;
}

}  // namespace stele::node_test
