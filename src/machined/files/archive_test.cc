// Archives, unpacked by the tar of the build machine and compared.
#include "machined/files/archive.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <fstream>

#include "base/tar_header.h"
#include "machined/files/file_fixture.h"

namespace stele::machined {
namespace {

using testing::HasSubstr;
using testing::Not;

class ArchiveTest : public FileTest {
 protected:
  struct Result {
    absl::StatusOr<machine::v1::ArchiveSummary> summary;
    std::string bytes;
    size_t largest = 0;
  };

  Result Make(const std::string& path, Need role = Need::kAdmin, ArchiveLimits limits = {},
              std::function<void()> at_first = nullptr) {
    Result result;
    absl::StatusOr<FoundFile> found = Tree().Find(path, role);
    if (!found.ok()) {
      result.summary = found.status();
      return result;
    }
    result.summary = MakeArchive(*found, role, limits,
                                 {[&](std::string bytes) {
                                    if (result.bytes.empty() && at_first) at_first();
                                    result.bytes += bytes;
                                    result.largest = std::max(result.largest, bytes.size());
                                    return absl::OkStatus();
                                  },
                                  [] { return absl::OkStatus(); }});
    return result;
  }

  std::string File(const std::string& bytes) {
    std::string path = folder_ + "/archive.tar";
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  uint64_t Omitted(const Result& result, machine::v1::OmissionReason reason) {
    for (const auto& omission : result.summary->omissions()) {
      if (omission.reason() == reason) return omission.count();
    }
    return 0;
  }
};

TEST_F(ArchiveTest, TarUnpacksWhatWasThere) {
  std::string large;
  for (int i = 0; i < 400'000; ++i) large += static_cast<char>(i * 31 >> 3);
  Put("/data/large", large, 0640);
  Put("/data/empty", "");
  Put("/data/block", std::string(512, 'b'));
  Put("/data/space and \xc3\xa4", "umlaut");
  Put("/data/\xff\xfe-no-text", "bytes");
  Put("/data/new\nline", "line");
  Link("/data/link", "large");
  Link("/data/long-link", std::string(150, 'l'));
  std::string path = "/data";
  for (int i = 0; i < 12; ++i) {
    absl::StrAppend(&path, "/", std::string(30, static_cast<char>('a' + i)));
    ASSERT_EQ(::mkdir(Real(path).c_str(), 0751), 0);
    Put(path + "/file", absl::StrCat("at ", i));
  }
  Put("/data/" + std::string(101, 'n'), "long name");
  Put("/data/" + std::string(250, 'm'), "longer name");
  Result result = Make("/data");
  ASSERT_TRUE(result.summary.ok()) << result.summary.status().message();
  EXPECT_LE(result.largest, kFileChunk);
  EXPECT_EQ(result.bytes.size() % kTarBlock, 0u);
  EXPECT_EQ(result.summary->files(), 20u);
  EXPECT_EQ(result.summary->directories(), 13u);
  EXPECT_EQ(result.summary->links(), 2u);
  EXPECT_EQ(result.summary->omissions_size(), 0);
  std::string out = folder_ + "/out";
  ASSERT_EQ(::mkdir(out.c_str(), 0755), 0);
  EXPECT_EQ(Sh({"/bin/tar", "-x", "-p", "-C", out, "-f", File(result.bytes)}), "");
  EXPECT_EQ(Sh({"/usr/bin/diff", "-r", "--no-dereference", Real("/data"), out + "/data"}), "");
  struct stat a, b;
  ASSERT_EQ(::stat(Real("/data/large").c_str(), &a), 0);
  ASSERT_EQ(::stat((out + "/data/large").c_str(), &b), 0);
  EXPECT_EQ(a.st_mode, b.st_mode);
  EXPECT_EQ(a.st_mtime, b.st_mtime);
  EXPECT_EQ(a.st_uid, b.st_uid);
  // Python's reader is another one.
  std::string names =
      Sh({"/usr/bin/python3", "-c", "import sys,tarfile; print(len(tarfile.open(sys.argv[1]).getmembers()))",
          folder_ + "/archive.tar"});
  EXPECT_EQ(names, "35\n");
}

TEST_F(ArchiveTest, OneFile) {
  Result result = Make("/open/dir/file");
  ASSERT_TRUE(result.summary.ok());
  EXPECT_EQ(Sh({"/bin/tar", "-xO", "-f", File(result.bytes)}), "inside, deeper");
  EXPECT_EQ(Sh({"/bin/tar", "-t", "-f", folder_ + "/archive.tar"}), "open/dir/file\n");
}

TEST_F(ArchiveTest, OtherKindsAreLeftOutAndTold) {
  ASSERT_EQ(::mkfifo(Real("/open/fifo").c_str(), 0666), 0);
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {.sun_family = AF_UNIX};
  std::string socket = Real("/open/socket");
  socket.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  uint64_t kinds = 2;
  if (::geteuid() == 0 && ::mknod(Real("/open/device").c_str(), S_IFCHR | 0666, ::makedev(1, 5)) == 0) ++kinds;
  Result result = Make("/open");
  ASSERT_TRUE(result.summary.ok()) << result.summary.status().message();
  EXPECT_EQ(Omitted(result, machine::v1::OMISSION_REASON_KIND), kinds);
  EXPECT_EQ(result.summary->files(), 2u);
}

TEST_F(ArchiveTest, WhatTheRoleMayNotReadIsLeftOutAndTold) {
  Put("/open/closed", "OUTSIDE", 0600);
  ASSERT_EQ(::mkdir(Real("/open/closed-dir").c_str(), 0700), 0);
  Put("/open/closed-dir/file", "OUTSIDE");
  Result reader = Make("/open", Need::kReader);
  ASSERT_TRUE(reader.summary.ok());
  EXPECT_THAT(reader.bytes, Not(HasSubstr("OUTSIDE")));
  EXPECT_EQ(Omitted(reader, machine::v1::OMISSION_REASON_ROLE), 2u);
  EXPECT_EQ(Omitted(reader, machine::v1::OMISSION_REASON_NOBODY), 2u);  // /open/secret, a key
  Result admin = Make("/open", Need::kAdmin);
  EXPECT_EQ(Omitted(admin, machine::v1::OMISSION_REASON_ROLE), 0u);
  EXPECT_EQ(Omitted(admin, machine::v1::OMISSION_REASON_NOBODY), 2u);
  EXPECT_EQ(admin.summary->files(), 4u);
}

// The header has gone out with the length that the file had: the archive stays one.
TEST_F(ArchiveTest, AFileThatChangesWhileItIsRead) {
  Put("/data/shrinks", std::string(1 << 20, 's'));
  Result result =
      Make("/data", Need::kAdmin, {}, [&] { ASSERT_EQ(::truncate(Real("/data/shrinks").c_str(), 1000), 0); });
  ASSERT_TRUE(result.summary.ok()) << result.summary.status().message();
  EXPECT_EQ(Omitted(result, machine::v1::OMISSION_REASON_CHANGED), 1u);
  EXPECT_THAT(Sh({"/bin/tar", "-tv", "-f", File(result.bytes)}), HasSubstr(" 1048576 "));
  Put("/data/shrinks", std::string(1 << 20, 'g'));
  Result grown =
      Make("/data", Need::kAdmin, {}, [&] { std::ofstream(Real("/data/shrinks"), std::ios::app) << "more"; });
  EXPECT_EQ(grown.summary->omissions_size(), 0);
  EXPECT_THAT(Sh({"/bin/tar", "-tv", "-f", File(grown.bytes)}), HasSubstr(" 1048576 "));
}

TEST_F(ArchiveTest, Bounds) {
  for (int i = 0; i < 20; ++i) Put(absl::StrCat("/data/", i), "x");
  Result cut = Make("/data", Need::kAdmin, {.entries = 5});
  ASSERT_TRUE(cut.summary.ok());
  EXPECT_EQ(cut.summary->files(), 5u);
  EXPECT_EQ(Omitted(cut, machine::v1::OMISSION_REASON_ENTRIES), 1u);
  // A file that claims more than the world has.
  Put("/data/sparse", "");
  ASSERT_EQ(::truncate(Real("/data/sparse").c_str(), 1LL << 40), 0);
  Result sparse = Make("/data/sparse");
  EXPECT_EQ(sparse.summary.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_LT(sparse.bytes.size(), 1000u);
  // Deeper than a walk goes.
  std::string path = "/logs";
  for (int i = 0; i < 80; ++i) {
    path += "/d";
    ASSERT_EQ(::mkdir(Real(path).c_str(), 0755), 0);
  }
  Result deep = Make("/logs");
  ASSERT_TRUE(deep.summary.ok());
  EXPECT_EQ(deep.summary->directories(), 65u);
  EXPECT_EQ(Omitted(deep, machine::v1::OMISSION_REASON_DEPTH), 1u);
}

TEST_F(ArchiveTest, HeadersOfLargeNumbers) {
  struct stat info = {};
  info.st_mode = S_IFREG | 04755;
  info.st_uid = 4'000'000'000;
  info.st_mtime = -5;
  std::string header = TarHeader("large", info, 1ULL << 40, "");
  std::string listed = Sh({"/bin/tar", "-tv", "--full-time", "--utc", "--numeric-owner", "-f", File(header)});
  EXPECT_THAT(listed, HasSubstr("-rwsr-xr-x 4000000000/0 1099511627776 1969-12-31 23:59:55 large"));
}

TEST_F(ArchiveTest, NamesOfEveryLength) {
  struct stat info = {};
  info.st_mode = S_IFREG | 0644;
  std::string all, expected;
  for (size_t length = 1; length < 340; ++length) {
    std::string name;
    while (name.size() < length) name += name.size() % 41 == 40 && name.size() + 1 < length ? '/' : 'n';
    all += TarHeader(name, info, 0, "");
    expected += name + "\n";
  }
  EXPECT_EQ(Sh({"/bin/tar", "-t", "-f", File(all + TarEnd())}), expected);
}

}  // namespace
}  // namespace stele::machined
