// Against a real containerd: Debian 13's, as the image build put it into the cache. It needs root and
// overlay mounts, and no cgroups, since no container is started.
#include <fcntl.h>
#include <glob.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "machined/cri_client.h"
#include "machined/cri_controller.h"
#include "machined/cri_version.h"
#include "machined/image_import.h"
#include "machined/runtime.h"

namespace stele::machined {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kPause[] = "stele.local/pause:1";

std::string FindContainerd() {
  if (const char* given = ::getenv("STELE_CONTAINERD")) return given;
  const char* cache = ::getenv("STELE_CACHE");
  std::string pattern = absl::StrCat(cache != nullptr ? cache : "/var/cache/stele",
                                     "/debian/trixie/unpacked/containerd_*/usr/bin/containerd");
  glob_t found;
  std::string path;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) path = found.gl_pathv[found.gl_pathc - 1];
  ::globfree(&found);
  return path;
}

class ContainerdTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string program = FindContainerd();
    if (::getuid() != 0) GTEST_SKIP() << "needs root: containerd mounts";
    if (program.empty())
      GTEST_SKIP() << "needs Debian 13's containerd: ./dev image fetches it, or set STELE_CONTAINERD";
    char name[] = "/tmp/stele-containerd-XXXXXX";
    directory_ = ::mkdtemp(name);
    socket_ = directory_ + "/c.sock";
    std::ofstream(directory_ + "/config.toml")
        << "version = 2\nroot = \"" << directory_ << "/root\"\nstate = \"" << directory_
        << "/state\"\n[grpc]\n  address = \"" << socket_
        << "\"\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"" << kPause
        << "\"\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\n  conf_dir = \"" << directory_ << "/cni\"\n";
    pid_ = ::fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) {
      int log = ::open((directory_ + "/log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
      ::dup2(log, 1);
      ::dup2(log, 2);
      if (::unshare(CLONE_NEWNS) < 0) ::_exit(1);
      ::execl(program.c_str(), "containerd", "--config", (directory_ + "/config.toml").c_str(), nullptr);
      ::_exit(1);
    }
    absl::Status status;
    for (absl::Time end = absl::Now() + absl::Seconds(60); absl::Now() < end; absl::SleepFor(absl::Milliseconds(100))) {
      status = CriVersion(socket_, absl::Seconds(1)).status();
      if (status.ok()) return;
    }
    FAIL() << status << "\n" << ReadFile(directory_ + "/log").value_or("");
  }

  void TearDown() override {
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      ::waitpid(pid_, nullptr, 0);
    }
    if (!directory_.empty()) Run({"rm", "-rf", directory_});
  }

  static void Run(std::vector<std::string> words) {
    std::string command;
    for (const std::string& word : words) absl::StrAppend(&command, "'", word, "' ");
    ASSERT_EQ(::system(command.c_str()), 0) << command;
  }

  // An image archive of one program, made by what makes the node's own.
  std::string MakeArchive(const std::string& reference, const std::string& program) {
    std::string path = absl::StrCat(directory_, "/", std::to_string(++archives_), ".tar");
    Run({"python3", "-c",
         "import sys, pathlib; sys.path.insert(0, \"image\"); import archive; "
         "archive.write(pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3]), user=\"65535:65535\")",
         path, reference, program});
    return path;
  }

  std::string directory_;
  std::string socket_;
  pid_t pid_ = -1;
  int archives_ = 0;
};

TEST_F(ContainerdTest, ImportsNamesPinsAndIsIdempotent) {
  EXPECT_FALSE(CriReady(socket_, kPause, absl::Seconds(5)).ok());
  std::string archive = MakeArchive(kPause, "/bin/true");
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<std::vector<std::string>> names = ImportFile({socket_, true}, archive);
    ASSERT_TRUE(names.ok()) << names.status();
    EXPECT_THAT(*names, ElementsAre(kPause));
  }
  absl::Status ready;
  for (int i = 0; i < 50 && !(ready = CriReady(socket_, kPause, absl::Seconds(5))).ok(); ++i)
    absl::SleepFor(absl::Milliseconds(100));
  EXPECT_TRUE(ready.ok()) << ready;
  absl::StatusOr<CriSnapshot> snapshot = CriClient::Create(socket_)->List(absl::Seconds(5));
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  ASSERT_EQ(snapshot->images.size(), 1u);
  EXPECT_TRUE(snapshot->images.begin()->second.pinned());
  EXPECT_GT(snapshot->images.begin()->second.size_bytes(), 0u);
}

TEST_F(ContainerdTest, TakesALargeArchiveAtItsOwnPace) {
  std::string program = directory_ + "/large";
  Run({"dd", "if=/dev/urandom", "of=" + program, "bs=1M", "count=48", "status=none"});
  absl::StatusOr<std::vector<std::string>> names = ImportFile({socket_}, MakeArchive("test.local/large:1", program));
  ASSERT_TRUE(names.ok()) << names.status();
  EXPECT_THAT(*names, ElementsAre("test.local/large:1"));
}

TEST_F(ContainerdTest, RefusesWhatIsNoArchive) {
  std::ofstream(directory_ + "/garbage") << std::string(100'000, 'x');
  EXPECT_FALSE(ImportFile({socket_}, directory_ + "/garbage").ok());
  std::ofstream(directory_ + "/empty") << "";
  EXPECT_FALSE(ImportFile({socket_}, directory_ + "/empty").ok());
  // Cut in the middle: the client's error ends it, and nothing is stored.
  absl::StatusOr<std::string> whole = ReadFile(MakeArchive("test.local/cut:1", "/bin/true"), 1 << 24);
  ASSERT_TRUE(whole.ok());
  int calls = 0;
  absl::StatusOr<std::vector<std::string>> names = ImportArchive({socket_}, [&]() -> absl::StatusOr<std::string> {
    if (++calls == 1) return whole->substr(0, whole->size() / 2);
    return absl::DeadlineExceededError("no byte of the image arrived");
  });
  EXPECT_EQ(names.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(names.status().message()), HasSubstr("no byte"));
  calls = 0;
  EXPECT_FALSE(ImportArchive({socket_}, [&]() -> absl::StatusOr<std::string> {
                 return ++calls == 1 ? whole->substr(0, whole->size() / 2) : std::string();
               }).ok());
  absl::StatusOr<CriSnapshot> snapshot = CriClient::Create(socket_)->List(absl::Seconds(5));
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_TRUE(snapshot->images.empty());
}

TEST_F(ContainerdTest, ControllerImportsThePauseImage) {
  std::string archive = MakeArchive(kPause, "/bin/true");
  std::unique_ptr<OwnerLoop> loop = *OwnerLoop::Create();
  Store store;
  EventLog events("/nonexistent/events");
  Runtime runtime(*loop, store, events);
  std::vector<std::unique_ptr<Controller>> all;
  all.push_back(std::make_unique<CriController>(CriPaths{socket_, archive}));
  runtime.StartControllers(std::move(all));
  absl::Time end = absl::Now() + absl::Seconds(20);
  auto done = [&] {
    auto images = store.All<resource::v1::Image>();
    return images.size() == 1 && images.begin()->second.pinned();
  };
  while (!done() && absl::Now() < end) ASSERT_TRUE(loop->events().RunOnce(50).ok());
  EXPECT_TRUE(done());
}

}  // namespace
}  // namespace stele::machined
