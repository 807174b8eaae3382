// ls, read, du and archive, against a node in this process.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdlib.h>

#include "osctl/fake_node.h"

namespace stele::osctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class FilesTest : public FakeNodeTest {
 protected:
  v1::FileEntry& Add(const std::string& path, v1::FileKind kind, uint32_t mode, v1::Access access = v1::ACCESS_READER) {
    v1::FileEntry& entry = node_->state().files.emplace_back();
    entry.set_path(path);
    entry.set_kind(kind);
    entry.set_mode(mode);
    entry.set_access(access);
    entry.set_size_bytes(1536);
    entry.set_disk_bytes(4096);
    entry.set_links(1);
    entry.mutable_modified()->set_seconds(1'700'000'000);
    return entry;
  }
  void Omit(v1::OmissionReason reason, uint64_t count, const std::string& path) {
    v1::Omission& omission = node_->state().omissions.emplace_back();
    omission.set_reason(reason);
    omission.set_count(count);
    omission.set_first_path(path);
  }
  std::string FileText(const std::string& path) { return stele::ReadFile(path).value_or("(none)"); }
};

TEST_F(FilesTest, Ls) {
  Add("/etc/kubernetes/kubeconfig", v1::FILE_KIND_FILE, 0600, v1::ACCESS_NOBODY);
  Add("/etc/kubernetes", v1::FILE_KIND_DIRECTORY, 01755);
  Add("/etc/mtab", v1::FILE_KIND_LINK, 0777).set_link_target("/proc/self/mounts");
  Add("/etc/bad\x1b[2J", v1::FILE_KIND_FILE, 04755, v1::ACCESS_ADMIN);
  Outcome run = Osctl({"ls", "//etc/", "-o", "wide"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            "MODE        OWNER  SIZE    ON DISK  LINKS  MODIFIED              FOR     NAME\n"
            "-rwsr-xr-x  0:0    1.5KiB  4.0KiB   1      2023-11-14T22:13:20Z  Admin   bad?[2J\n"
            "drwxr-xr-t  0:0    1.5KiB  4.0KiB   1      2023-11-14T22:13:20Z  Reader  kubernetes/\n"
            "-rw-------  0:0    1.5KiB  4.0KiB   1      2023-11-14T22:13:20Z  Nobody  kubernetes/kubeconfig\n"
            "lrwxrwxrwx  0:0    1.5KiB  4.0KiB   1      2023-11-14T22:13:20Z  Reader  mtab -> /proc/self/mounts\n");
  EXPECT_EQ(run.err, "");
  EXPECT_THAT(node_->state().calls, ElementsAre("list path: \"//etc/\" depth: 1"));
  EXPECT_THAT(Osctl({"ls", "/etc"}).out, StartsWith("MODE        OWNER  SIZE    AGE"));
}

TEST_F(FilesTest, LsTellsWhatIsMissing) {
  Add("/var/a", v1::FILE_KIND_FILE, 0644);
  Omit(v1::OMISSION_REASON_ENTRIES, 1, "/var/b\n");
  Omit(v1::OMISSION_REASON_ROLE, 3, "/var/lib/x");
  Outcome run = Osctl({"ls", "/var", "-R", "--max", "7"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.err,
            "1 left out at least, since there are too many: ask for less at a time: /var/b?\n"
            "3 left out, for a higher role: /var/lib/x and others\n");
  EXPECT_THAT(node_->state().calls, ElementsAre("list path: \"/var\" depth: 64 max_entries: 7"));
  Outcome json = Osctl({"ls", "/var", "-o", "json"});
  EXPECT_THAT(json.out,
              StartsWith("{\n  \"items\": [\n    {\n      \"path\": \"/var/a\",\n      \"kind\": \"FILE_KIND_FILE\""));
  EXPECT_THAT(json.out, HasSubstr("\"reason\": \"OMISSION_REASON_ROLE\",\n      \"count\": \"3\""));
  EXPECT_THAT(Osctl({"ls", "/var", "-o", "yaml"}).out, StartsWith("items:\n- path: /var/a\n"));
}

TEST_F(FilesTest, SeveralNodesHaveAColumn) {
  Add("/var/a", v1::FILE_KIND_FILE, 0644);
  std::unique_ptr<FakeNode> other = StartNode();
  other->state().files = node_->state().files;
  std::string nodes = absl::StrCat(address(), ",127.0.0.1:", other->port());
  EXPECT_THAT(Osctl({"ls", "/var", "-n", nodes}).out, StartsWith("NODE"));
  EXPECT_THAT(Osctl({"du", "/var", "-n", nodes}).out, StartsWith("NODE"));
  EXPECT_THAT(Osctl({"ls", "/var", "-n", nodes, "-o", "json"}).out, HasSubstr("\"node\": \"" + address() + "\""));
  node_->state().log = other->state().log = "one\ntwo";
  Outcome read = Osctl({"read", "/var/a", "-n", nodes});
  EXPECT_THAT(read.out, HasSubstr(address() + ": one\n"));
  EXPECT_THAT(read.out, HasSubstr(address() + ": two\n"));
  Outcome archive = Osctl({"archive", "/var", "-n", nodes});
  EXPECT_EQ(archive.code, 2);
  EXPECT_EQ(archive.err, "osctl: an archive is of one node; choose it with -n, one after another\n");
}

TEST_F(FilesTest, RefusalsNameThePathAndWhatNext) {
  node_->state().answer = {grpc::StatusCode::PERMISSION_DENIED,
                           "/etc/x takes the role admin, and the caller's is reader"};
  for (const char* command : {"ls", "read", "du", "archive"}) {
    Outcome run = Osctl({command, "/etc/x"});
    EXPECT_EQ(run.code, 5) << command;
    EXPECT_EQ(run.err,
              absl::StrCat("osctl: ", address(), ": ", command,
                           " /etc/x: /etc/x takes the role admin, and the caller's is reader; `osctl ls` shows "
                           "under FOR who may read what\n"));
  }
  node_->state().answer = {grpc::StatusCode::NOT_FOUND, "/etc/x: No such file or directory"};
  EXPECT_EQ(Osctl({"read", "/etc/x"}).code, 6);
  EXPECT_EQ(Osctl({"ls"}).code, 2);
}

TEST_F(FilesTest, ReadIsByteForByte) {
  std::string& text = node_->state().log;
  for (int i = 0; i < 50'000; ++i) text += static_cast<char>(i * 31 >> 3);
  Outcome run = Osctl({"read", "/var/x"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(run.out == text);
  EXPECT_TRUE(Osctl({"read", "/var/x", "--offset", "1KiB", "--limit", "2000"}).out == text.substr(1024, 2000));
  EXPECT_TRUE(Osctl({"read", "/var/x", "--tail", "10"}).out == text.substr(text.size() - 10));
  EXPECT_THAT(node_->state().calls,
              ElementsAre("read path: \"/var/x\"", "read path: \"/var/x\" offset: 1024 limit_bytes: 2000",
                          "read path: \"/var/x\" tail_bytes: 10"));
  EXPECT_EQ(Osctl({"read", "/var/x", "--tail", "ten"}).code, 2);
  EXPECT_EQ(Osctl({"read", "/var/x", "--tail", "1", "--offset", "1"}).code, 2);
}

TEST_F(FilesTest, AFollowedFileGoesOnWhereItBroke) {
  std::string& text = node_->state().log;
  for (int i = 0; i < 2000; ++i) absl::StrAppend(&text, "line ", i, "\n");
  node_->state().break_log_after = 5000;
  Outcome run = Osctl({"read", "/var/x", "-f", "--tail", "12000"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, text.substr(text.size() - 12000));
  EXPECT_GE(node_->state().broken_logs, 2);
  Outcome limited = Osctl({"read", "/var/x", "-f", "--limit", "7500"});
  EXPECT_EQ(limited.code, 0) << limited.err;
  EXPECT_EQ(limited.out, text.substr(0, 7500));
  // Without -f a break is an error: the file may be another one by then.
  Outcome broken = Osctl({"read", "/var/x"});
  EXPECT_EQ(broken.code, 3);
  EXPECT_THAT(broken.err, HasSubstr("read /var/x: machined is restarting"));
}

TEST_F(FilesTest, Du) {
  Outcome run = Osctl({"du", "/var", "--depth", "2"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            "ON DISK  FILES  PATH\n"
            "6.0MiB   7      /var\n"
            "5.0MiB   7      /var/b\n"
            "100B     7      /var/a\n");
  EXPECT_THAT(Osctl({"du", "/var", "-o", "wide"}).out, HasSubstr("6.0MiB   3.0MiB  2            7      /var\n"));
  EXPECT_THAT(Osctl({"du", "/var", "--cross-mounts", "-o", "json"}).out, HasSubstr("\"diskBytes\": \"6291456\""));
  EXPECT_THAT(node_->state().calls, ElementsAre("du path: \"/var\" depth: 2", "du path: \"/var\" depth: 1",
                                                "du path: \"/var\" depth: 1 cross_mounts: true"));
}

TEST_F(FilesTest, ArchiveToStdoutAndToAFile) {
  std::string& bytes = node_->state().log;
  for (int i = 0; i < 20'480; ++i) bytes += static_cast<char>(i % 251);
  Omit(v1::OMISSION_REASON_NOBODY, 2, "/etc/kubernetes/kubeconfig");
  Outcome run = Osctl({"archive", "/etc"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(run.out == bytes);
  EXPECT_THAT(run.err,
              HasSubstr("2 left out, for no role: keys, tokens, state: /etc/kubernetes/kubeconfig and others\n"));
  EXPECT_THAT(run.err, HasSubstr("3 files, 0 directories, 0 links; 20.0KiB in "));
  std::string file = directory_.path() + "/etc.tar";
  Outcome written = Osctl({"archive", "/etc", "-f", file});
  EXPECT_EQ(written.code, 0) << written.err;
  EXPECT_EQ(written.out, "");
  EXPECT_TRUE(FileText(file) == bytes);
  struct stat info;
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(Osctl({"archive", "/etc", "-f", "/nonexistent/x"}).code, 8);
}

// What was cut never has the archive's name, and never looks like success.
TEST_F(FilesTest, ACutArchiveIsNone) {
  node_->state().log = "x";
  node_->state().break_log_after = 0;
  std::string file = directory_.File("etc.tar", "the one before");
  Outcome run = Osctl({"archive", "/etc", "-f", file});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, HasSubstr("without a word that it is whole"));
  EXPECT_EQ(FileText(file), "the one before");
  EXPECT_EQ(FileText(file + ".part"), "(none)");
}

TEST_F(FilesTest, AnArchiveIsNotForATerminal) {
  UniqueFd keyboard(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_EQ(::grantpt(keyboard.get()) | ::unlockpt(keyboard.get()), 0);
  UniqueFd terminal(::open(::ptsname(keyboard.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
  UniqueFd err(::memfd_create("err", MFD_CLOEXEC));
  Console console(terminal.get(), terminal.get(), err.get());
  std::string contexts = keys() + "/osctl.yaml";
  Getenv getenv = [&](const char* name) {
    return absl::string_view(name) == "OSCTLCONFIG" ? contexts.c_str() : nullptr;
  };
  EXPECT_EQ(static_cast<int>(osctl::Run({"archive", "/etc"}, getenv, &console)), 2);
  EXPECT_THAT(ReadAll(err.get()), HasSubstr("an archive is no text for a terminal; give -f FILE"));
}

TEST_F(FilesTest, CompletionAsksTheNode) {
  Add("/var/log", v1::FILE_KIND_DIRECTORY, 0755);
  Add("/var/lib", v1::FILE_KIND_DIRECTORY, 0755);
  Add("/var/lost", v1::FILE_KIND_FILE, 0644);
  EXPECT_EQ(Osctl({"__complete", "ls", "/var/lo"}).out, "/var/log/\n/var/lost\n");
  EXPECT_EQ(Osctl({"__complete", "read", "/var/li"}).out, "/var/lib/\n");
  EXPECT_EQ(Osctl({"__complete", "archive", "/var", "-f", ""}).out, ":file\n");
  EXPECT_THAT(node_->state().calls, ElementsAre("list path: \"//var/\"", "list path: \"//var/\""));
  node_.reset();
  EXPECT_EQ(Osctl({"__complete", "ls", "/var/lo"}).out, "");
}

}  // namespace
}  // namespace stele::osctl
