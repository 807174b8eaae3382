// Ways out of the places that may be seen: none. Every trick is played on every call of the service.
#include "machined/files/file_tree.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <atomic>
#include <thread>

#include "machined/files/archive.h"
#include "machined/files/file_fixture.h"

namespace stele::machined {
namespace {

using testing::HasSubstr;
using testing::Not;

class FileTreeTest : public FileServiceTest {};

// Whether an archive has a file with that content: the text, and zeros to the end of its block.
bool HoldsOutside(const std::string& archive) {
  return archive.find(kOutside + std::string(512 - (sizeof kOutside - 1), '\0')) != std::string::npos;
}

TEST_F(FileTreeTest, WhatMayBeRead) {
  EXPECT_EQ(*Read("/open/file"), "inside");
  EXPECT_EQ(*Read("//open///dir/file"), "inside, deeper");
  EXPECT_EQ(*Read("/open/file/"), "inside");  // a slash at the end is taken off, as shells leave one
}

TEST_F(FileTreeTest, Tricks) {
  Link("/open/up", "..");
  Link("/open/to-hidden", "../hidden");
  Link("/open/to-hidden-whole", Real("/hidden"));
  Link("/open/to-file", "../hidden/OUTSIDE");
  Link("/open/to-key", "OUTSIDE.key");
  Link("/open/to-secret", "secret/OUTSIDE");
  Link("/open/to-top", "/");
  Link("/open/to-proc", "/proc/self/root");
  Link("/open/to-cwd", "/proc/self/cwd");
  Link("/open/to-itself", "to-itself");
  Link("/open/a", "b");
  Link("/open/b", "to-hidden");
  Link("/open/dir/up", "../../hidden");
  Link("/open/empty-looking", " ");
  Link("/logs/to-hidden", "../hidden");
  Link("/data/to-hidden", "../hidden");
  ASSERT_EQ(::mkfifo(Real("/open/fifo").c_str(), 0666), 0);
  ASSERT_EQ(::mkdir(Real("/open/dir/secret").c_str(), 0755), 0);
  Put("/open/dir/secret/OUTSIDE", kOutside);
  ASSERT_EQ(::mkdir(Real("/open/x.key").c_str(), 0755), 0);
  Put("/open/x.key/OUTSIDE", kOutside);
  std::string nul("/open/file\0/../../hidden/OUTSIDE", 32);
  std::string deep = "/open";
  for (int i = 0; i < 600; ++i) deep += "/..";
  std::vector<std::string> tricks = {
      "",
      " ",
      ".",
      "..",
      "/..",
      "/.",
      "../..",
      "OUTSIDE",
      "../OUTSIDE",
      "open/file",
      "./open/file",
      "/../OUTSIDE",
      "/open/../../OUTSIDE",
      "/open/../hidden/OUTSIDE",
      "/open/..",
      "/open/../",
      "/open/.",
      "/open/./file",
      "/open/dir/../../hidden/OUTSIDE",
      "//..//OUTSIDE",
      "/open//..//hidden//OUTSIDE",
      "/open/.../OUTSIDE",
      "/open/..\\hidden\\OUTSIDE",
      "/open/%2e%2e/hidden/OUTSIDE",
      "/open/..%2fhidden/OUTSIDE",
      "/open/\xc0\xae\xc0\xae/hidden",
      "/open/file/../../hidden/OUTSIDE",
      "/open/nothing/../../hidden/OUTSIDE",
      deep + "/OUTSIDE",
      "/hidden",
      "/hidden/",
      "/hidden/OUTSIDE",
      "//hidden/OUTSIDE",
      "/hidden/./OUTSIDE",
      "/OPEN/../hidden/OUTSIDE",
      "/open/up",
      "/open/up/",
      "/open/up/hidden",
      "/open/up/hidden/OUTSIDE",
      "/open/up/up/OUTSIDE",
      "/open/up/open/file",
      "/open/to-hidden",
      "/open/to-hidden/",
      "/open/to-hidden/OUTSIDE",
      "/open/to-hidden-whole/OUTSIDE",
      "/open/to-file",
      "/open/to-file/",
      "/open/to-key",
      "/open/to-secret",
      "/open/to-top/etc/passwd",
      "/open/to-top/proc/self/root",
      "/open/to-proc/etc/passwd",
      "/open/to-cwd",
      "/open/to-cwd/README.md",
      "/open/to-itself",
      "/open/to-itself/x",
      "/open/a/OUTSIDE",
      "/open/b/OUTSIDE",
      "/open/dir/up/OUTSIDE",
      "/open/empty-looking/OUTSIDE",
      "/logs/to-hidden/OUTSIDE",
      "/data/to-hidden/OUTSIDE",
      "/open/secret",
      "/open/secret/",
      "/open/secret/OUTSIDE",
      "/open//secret//OUTSIDE",
      "/open/dir/secret/OUTSIDE",
      "/open/OUTSIDE.key",
      "/open/x.key",
      "/open/x.key/OUTSIDE",
      "/open/fifo",
      "/open/fifo/OUTSIDE",
      "/open/file/OUTSIDE",
      nul,
      std::string("\0/open/file", 11),
      std::string("/open/file\0", 11),
      "/open/" + std::string(256, 'a'),
      "/open/" + std::string(4096, 'a'),
      "/" + std::string(100'000, 'a'),
      "/open" + std::string(5000, '/') + "file",
      "/open/\n/file",
      "~/OUTSIDE",
      "$HOME/OUTSIDE",
      "/open/*",
      "/open/secre?/OUTSIDE",
      "file:///open/file",
      Real("/hidden/OUTSIDE"),
      Real("/open/file"),
      "/proc/self/root" + Real("/hidden/OUTSIDE"),
      "/proc/self/environ",
      "/dev/stdin",
      "/etc/passwd",
  };
  ASSERT_GE(tricks.size(), 60u);
  std::cout << tricks.size() << " tricks" << std::endl;
  for (const std::string& trick : tricks) {
    absl::Time began = absl::Now();
    auto read = ReadFile(trick);
    EXPECT_FALSE(read.status.ok()) << trick;
    EXPECT_EQ(read.data, "") << trick;
    // A list or an archive of "/open/to-file" may tell that it is a link; what it leads to is not told of.
    auto archive = Archive(trick);
    EXPECT_FALSE(HoldsOutside(archive.data)) << trick;
    auto list = List(trick, 64);
    for (const auto& message : list.messages) {
      for (const auto& entry : message.entries()) {
        EXPECT_THAT(entry.path(), Not(HasSubstr("hidden/"))) << trick;
        EXPECT_THAT(entry.path(), Not(HasSubstr("secret/"))) << trick;
      }
    }
    auto usage = Usage(trick, 64);
    EXPECT_THAT(usage.AllText(), Not(HasSubstr("hidden/"))) << trick;
    EXPECT_LT(absl::Now() - began, absl::Seconds(5)) << trick;  // nothing waits for a FIFO
  }
}

// All of what may be seen, at once: what must not come out is in none of it.
TEST_F(FileTreeTest, AnArchiveHoldsNothingFromOutside) {
  Link("/open/to-hidden", "../hidden");
  auto archive = Archive("/open");
  ASSERT_TRUE(archive.status.ok()) << archive.status.error_message();
  EXPECT_THAT(archive.data, HasSubstr("inside, deeper"));
  EXPECT_THAT(archive.data, Not(HasSubstr(kOutside)));
  EXPECT_EQ(archive.messages.back().summary().omissions_size(), 1);
  EXPECT_EQ(archive.messages.back().summary().omissions(0).reason(), machine::v1::OMISSION_REASON_NOBODY);
  EXPECT_EQ(archive.messages.back().summary().omissions(0).count(), 2u);
}

// The kernel's magic links, with a table that shows all of /proc: the way of opening must hold alone.
TEST_F(FileTreeTest, MagicLinks) {
  static constexpr FileRule kAllOfProc[] = {{"/proc", FileClass::kSystem}, {"/", FileClass::kSystem}};
  Serve("/", kAllOfProc);
  ASSERT_EQ(ReadFile("/proc/version").status.error_message(), "");
  UniqueFd outside(::open(Real("/hidden/OUTSIDE").c_str(), O_RDONLY | O_CLOEXEC));
  UniqueFd directory(::open(Real("/hidden").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::string self = absl::StrCat("/proc/", ::getpid());
  std::string thread = absl::StrCat(self, "/task/", ::getpid());
  std::vector<std::string> links;
  for (const std::string& of : {self, thread, std::string("/proc/self"), std::string("/proc/thread-self")}) {
    for (const char* link : {"root", "cwd"}) {
      links.push_back(absl::StrCat(of, "/", link));
      links.push_back(absl::StrCat(of, "/", link, "/etc/passwd"));
      links.push_back(absl::StrCat(of, "/", link, Real("/hidden/OUTSIDE")));
    }
    links.push_back(of + "/exe");
    links.push_back(of + "/ns/mnt");
    links.push_back(absl::StrCat(of, "/fd/", outside.get()));
    links.push_back(absl::StrCat(of, "/fd/", directory.get(), "/OUTSIDE"));
    links.push_back(absl::StrCat(of, "/fd/", directory.get(), "/../OUTSIDE"));
  }
  EXPECT_EQ(links.size(), 44u);
  for (const std::string& link : links) {
    EXPECT_FALSE(ReadFile(link).status.ok()) << link;
    EXPECT_EQ(ReadFile(link).data, "") << link;
    EXPECT_FALSE(Archive(link).status.ok()) << link;
  }
}

// A child with mounts of its own; what it says goes to stderr.
void InMountNamespace(const std::function<bool()>& body) {
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::unshare(CLONE_NEWNS | (::geteuid() == 0 ? 0 : CLONE_NEWUSER)) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      ::_exit(77);
    }
    ::_exit(body() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "no mount namespace may be made here";
  EXPECT_EQ(status, 0);
}

TEST_F(FileTreeTest, Mounts) {
  for (const char* path : {"/open/mounted", "/open/named"}) ASSERT_EQ(::mkdir(Real(path).c_str(), 0755), 0);
  InMountNamespace([&] {
    for (const char* path : {"/open/mounted", "/open/named"}) {
      if (::mount(Real("/hidden").c_str(), Real(path).c_str(), nullptr, MS_BIND, nullptr) != 0) return false;
    }
    EXPECT_EQ(Read("/open/mounted/OUTSIDE").status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(Tree().Find("/open/mounted", Need::kAdmin).status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(Read("/open/named/OUTSIDE").value_or(""), kOutside);  // whose row says so
    // A walk stays in its file system, also where a row names the mount.
    std::string all;
    auto summary = MakeArchive(*Tree().Find("/open", Need::kAdmin), Need::kAdmin, ArchiveLimits(),
                               {[&](std::string bytes) {
                                  all += bytes;
                                  return absl::OkStatus();
                                },
                                [] { return absl::OkStatus(); }});
    EXPECT_EQ(all.find(kOutside), std::string::npos);
    bool told = false;
    for (const auto& omission : summary->omissions()) {
      if (omission.reason() == machine::v1::OMISSION_REASON_MOUNT) told = omission.count() == 2;
    }
    EXPECT_TRUE(told);
    return !testing::Test::HasFailure();
  });
}

// A directory and a link to another one change places as fast as a thread can do it, and so do a file, a link to
// another, and a FIFO.
TEST_F(FileTreeTest, SwapsWhileFilesAreFound) {
  ASSERT_EQ(::mkdir(Real("/open/swap").c_str(), 0755), 0);
  Put("/open/swap/OUTSIDE", "inside");
  Link("/open/other", "../hidden");
  Put("/open/leaf", "inside");
  Link("/open/leaf-link", "../hidden/OUTSIDE");
  ASSERT_EQ(::mkfifo(Real("/open/leaf-fifo").c_str(), 0666), 0);
  std::atomic<bool> stop = false;
  std::thread swapper([&] {
    auto exchange = [&](const char* a, const char* b) {
      ::renameat2(AT_FDCWD, Real(a).c_str(), AT_FDCWD, Real(b).c_str(), RENAME_EXCHANGE);
    };
    while (!stop) {
      exchange("/open/swap", "/open/other");
      exchange("/open/leaf", "/open/leaf-link");
      exchange("/open/leaf", "/open/leaf-fifo");
    }
  });
  int read = 0, refused = 0, archived = 0;
  auto look = [&](const absl::StatusOr<std::string>& text) {
    if (text.ok()) {
      EXPECT_EQ(*text, "inside");
      ++read;
    } else {
      EXPECT_NE(text.status().code(), absl::StatusCode::kInternal) << text.status().message();
      ++refused;
    }
  };
  for (absl::Time until = absl::Now() + absl::Seconds(4); absl::Now() < until && !HasFailure();) {
    for (int i = 0; i < 50; ++i) {
      look(Read("/open/swap/OUTSIDE"));
      look(Read("/open/leaf"));
    }
    // Only content counts: that name is in the archive too.
    std::string all;
    auto summary = MakeArchive(*Tree().Find("/open", Need::kAdmin), Need::kAdmin, ArchiveLimits(),
                               {[&](std::string bytes) {
                                  all += bytes;
                                  return absl::OkStatus();
                                },
                                [] { return absl::OkStatus(); }});
    ASSERT_TRUE(summary.ok()) << summary.status().message();
    EXPECT_FALSE(HoldsOutside(all));
    ++archived;
  }
  stop = true;
  swapper.join();
  std::cout << read << " read, " << refused << " refused, " << archived << " archives" << std::endl;
  // The race was run: both ends of it were seen, often.
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 100);
}

TEST_F(FileTreeTest, WordsOfRefusals) {
  Link("/open/link", "../hidden");
  auto text = [&](const std::string& path, const std::string& role = "admin") {
    return ReadFile(path, role).status.error_message();
  };
  EXPECT_EQ(text("/open/link/OUTSIDE"),
            "/open/link is a link, and links are not followed: name the path that it leads to, ../hidden");
  EXPECT_EQ(text("/open/link"),
            "/open/link is a link, and links are not followed: name the file that it leads to, ../hidden");
  EXPECT_EQ(text("/open/nothing"), "/open/nothing: No such file or directory");
  EXPECT_EQ(text("/open"), "/open is a directory: list or archive it");
  EXPECT_EQ(text("/open/OUTSIDE.key"),
            "/open/OUTSIDE.key is not shown to any role: it may hold keys, tokens or the node's state");
  EXPECT_THAT(text("/hidden/OUTSIDE"), HasSubstr("/hidden is nothing that the API shows; `osctl ls /` tells"));
  EXPECT_EQ(text("open/file"), "no path to a file: 'open/file' does not begin with /");
  Put("/open/closed", "x", 0600);
  EXPECT_EQ(text("/open/closed", "reader"),
            "/open/closed takes the role admin, and the caller's is reader, since its mode keeps it from others");
}

}  // namespace
}  // namespace stele::machined
