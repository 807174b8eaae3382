// The service as a client meets it: roles, what is listed, slow readers, clients that go away.
#include "machined/files/file_service.h"

#include <dirent.h>
#include <gmock/gmock.h>

#include <map>
#include <thread>

#include "absl/time/clock.h"
#include "base/file.h"
#include "machined/files/archive.h"
#include "machined/files/file_call.h"
#include "machined/files/file_fixture.h"
#include "machined/files/file_walk.h"

namespace stele::machined {
namespace {

using machine::v1::FileEntry;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

std::map<std::string, FileEntry> Entries(const std::vector<machine::v1::ListFilesResponse>& messages) {
  std::map<std::string, FileEntry> entries;
  for (const auto& message : messages) {
    for (const FileEntry& entry : message.entries()) entries[entry.path()] = entry;
  }
  return entries;
}

uint64_t Omitted(const std::vector<machine::v1::ListFilesResponse>& messages, machine::v1::OmissionReason reason) {
  for (const auto& message : messages) {
    for (const auto& omission : message.omissions()) {
      if (omission.reason() == reason) return omission.count();
    }
  }
  return 0;
}

// Those of calls (own_thread.h): gRPC's own come and go as it likes.
int CallThreads() {
  int count = 0;
  DIR* tasks = ::opendir("/proc/self/task");
  while (dirent* task = ::readdir(tasks)) {
    absl::StatusOr<std::string> name = stele::ReadFile(absl::StrCat("/proc/self/task/", task->d_name, "/comm"));
    count += name.ok() && *name == "call\n" ? 1 : 0;
  }
  ::closedir(tasks);
  return count;
}

template <typename Condition>
bool Soon(Condition condition) {
  for (int i = 0; i < 500; ++i) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return false;
}

TEST_F(FileServiceTest, ListsADirectory) {
  Link("/open/link", "dir/file");
  Put("/open/dir/\xff", "");
  auto answer = List("/open");
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  auto entries = Entries(answer.messages);
  EXPECT_EQ(entries.size(), 5u);
  EXPECT_EQ(entries["/open/file"].size_bytes(), 6u);
  EXPECT_EQ(entries["/open/file"].kind(), machine::v1::FILE_KIND_FILE);
  EXPECT_EQ(entries["/open/file"].mode(), 0644u);
  EXPECT_EQ(entries["/open/file"].access(), machine::v1::ACCESS_READER);
  EXPECT_GT(entries["/open/file"].modified().seconds(), 1'700'000'000);
  EXPECT_EQ(entries["/open/link"].kind(), machine::v1::FILE_KIND_LINK);
  EXPECT_EQ(entries["/open/link"].link_target(), "dir/file");
  EXPECT_EQ(entries["/open/secret"].access(), machine::v1::ACCESS_NOBODY);
  EXPECT_EQ(entries["/open/OUTSIDE.key"].access(), machine::v1::ACCESS_NOBODY);
  auto deep = List("/open", 2);
  entries = Entries(deep.messages);
  EXPECT_EQ(entries.count("/open/dir/file"), 1u);
  EXPECT_EQ(entries.count("/open/dir/\xef\xbf\xbd"), 1u);  // what is no text is shown as such
  EXPECT_EQ(entries.count("/open/secret/OUTSIDE"), 0u);
  EXPECT_EQ(Omitted(deep.messages, machine::v1::OMISSION_REASON_NOBODY), 1u);
  EXPECT_EQ(Entries(List("/open/file").messages).size(), 1u);
}

TEST_F(FileServiceTest, TheTopTellsOfItsNamesAlone) {
  EXPECT_EQ(Entries(List("/").messages)["/hidden"].access(), machine::v1::ACCESS_NOBODY);
  EXPECT_EQ(Entries(List("/").messages)["/open"].access(), machine::v1::ACCESS_READER);
  EXPECT_EQ(List("/", 2).status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Archive("/").status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Usage("/").status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

// Every role, every class, open and closed: what may be read.
TEST_F(FileServiceTest, Roles) {
  for (const char* directory : {"/open", "/logs", "/data", "/private"}) {
    Put(std::string(directory) + "/all", "text");
    Put(std::string(directory) + "/owner", "text", 0600);
    ASSERT_EQ(::mkdir(Real(std::string(directory) + "/closed").c_str(), 0700), 0);
    Put(std::string(directory) + "/closed/all", "text");
  }
  struct {
    const char* path;
    const char* least;  // "" for nobody
  } kCases[] = {
      {"/open/all", "reader"},      {"/open/owner", "admin"},    {"/open/closed/all", "admin"},
      {"/logs/all", "reader"},      {"/logs/owner", "reader"},   {"/logs/closed/all", "reader"},
      {"/data/all", "admin"},       {"/data/owner", "admin"},    {"/data/closed/all", "admin"},
      {"/private/all", "admin"},    {"/private/owner", "admin"}, {"/private/closed/all", "admin"},
      {"/open/secret/OUTSIDE", ""}, {"/open/OUTSIDE.key", ""},   {"/hidden/OUTSIDE", ""},
  };
  const std::vector<std::string> roles = {"reader", "operator", "admin"};
  for (const auto& each : kCases) {
    bool may = false;
    for (const std::string& role : roles) {
      may = may || role == each.least;
      auto answer = ReadFile(each.path, role);
      EXPECT_EQ(answer.status.ok(), may) << each.path << " " << role << ": " << answer.status.error_message();
      EXPECT_EQ(answer.data, may ? "text" : "") << each.path << " " << role;
      EXPECT_TRUE(may || answer.status.error_code() == grpc::StatusCode::PERMISSION_DENIED) << each.path;
    }
  }
  // Names in application data are for operators where modes close them.
  EXPECT_EQ(List("/data/closed", 1, "reader").status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(List("/data/closed", 1, "operator").status.ok());
  // Who may not search a directory learns of no name in it.
  EXPECT_EQ(ReadFile("/open/closed/nothing", "reader").status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(ReadFile("/open/closed/nothing", "admin").status.error_code(), grpc::StatusCode::NOT_FOUND);
  for (const char* role : {"", "root", "Admin"}) {
    EXPECT_EQ(ReadFile("/open/all", role).status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << role;
  }
}

TEST_F(FileServiceTest, ListsAreCutAndSaySo) {
  for (int i = 0; i < 700; ++i) Put(absl::StrCat("/data/", i), "");
  EXPECT_EQ(Entries(List("/data").messages).size(), 700u);
  auto cut = List("/data", 1, "admin", 500);
  ASSERT_TRUE(cut.status.ok());
  EXPECT_EQ(Entries(cut.messages).size(), 500u);
  EXPECT_EQ(Omitted(cut.messages, machine::v1::OMISSION_REASON_ENTRIES), 1u);
  EXPECT_EQ(List("/data", 1, "admin", 100'001).status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(List("/data", 65).status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Usage("/data", 65).status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(FileServiceTest, Usage) {
  Put("/data/file", std::string(10'000, 'x'));
  auto answer = FileServiceTest::Usage("/data");
  ASSERT_TRUE(answer.status.ok());
  EXPECT_EQ(answer.messages.at(0).directories(0).size_bytes(), 10'000u);
}

TEST_F(FileServiceTest, AnArchiveEndsWithItsSummary) {
  auto answer = Archive("/open");
  ASSERT_TRUE(answer.status.ok());
  EXPECT_EQ(answer.messages.back().summary().files(), 2u);
  EXPECT_EQ(answer.data.size() % 512, 0u);
}

TEST_F(FileServiceTest, ContradictionsAreRefused) {
  machine::v1::ReadFileRequest request;
  request.set_path("/open/file");
  request.set_offset(1);
  request.set_tail_bytes(1);
  EXPECT_EQ(ReadFile(request).status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

// A file of 64 MiB to a client that reads nothing: the node has read no more of it than fits on the way.
TEST_F(FileServiceTest, ASlowClientIsNotReadAheadOf) {
  Put("/logs/large", "");
  ASSERT_EQ(::truncate(Real("/logs/large").c_str(), 64 << 20), 0);
  grpc::ClientContext context;
  Become(context, "reader");
  machine::v1::ReadFileRequest request;
  request.set_path("/logs/large");
  auto reader = stub_->ReadFile(&context, request);
  machine::v1::ReadFileResponse response;
  ASSERT_TRUE(reader->Read(&response));
  absl::SleepFor(absl::Milliseconds(500));
  // The file is made short behind what was read: who has read ahead would still send the rest.
  ASSERT_EQ(::truncate(Real("/logs/large").c_str(), 0), 0);
  uint64_t got = response.data().size();
  while (reader->Read(&response)) got += response.data().size();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_LT(got, 8u << 20);
}

// Followers end with their clients: threads and places are free again, round after round.
TEST_F(FileServiceTest, CallsEndWithTheirClients) {
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(Soon([&] { return ReadFile("/open/file").status.ok(); }));
    std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
    std::vector<std::unique_ptr<grpc::ClientReader<machine::v1::ReadFileResponse>>> readers;
    machine::v1::ReadFileRequest request;
    request.set_path("/open/file");
    request.set_follow(true);
    machine::v1::ReadFileResponse response;
    while (readers.size() < kMaxFileCalls) {
      contexts.push_back(std::make_unique<grpc::ClientContext>());
      Become(*contexts.back(), "reader");
      readers.push_back(stub_->ReadFile(contexts.back().get(), request));
      // A place of the round before, or of the read above, may be free only a moment later.
      if (readers.back()->Read(&response)) continue;
      ASSERT_EQ(readers.back()->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
      readers.pop_back();
      absl::SleepFor(absl::Milliseconds(5));
    }
    auto refused = ReadFile("/open/file");
    EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_THAT(refused.status.error_message(), HasSubstr("16 calls already"));
    EXPECT_GE(CallThreads(), kMaxFileCalls);
    for (auto& context : contexts) context->TryCancel();
    for (auto& reader : readers) EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(Soon([&] { return CallThreads() == 0; })) << CallThreads();
}

// All places are taken by clients that read nothing and do not end: they are given up.
TEST_F(FileServiceTest, StalledClientsAreGivenUp) {
  Serve(top_, kTestRules, absl::Milliseconds(300));
  Put("/logs/large", "");
  ASSERT_EQ(::truncate(Real("/logs/large").c_str(), 64 << 20), 0);
  machine::v1::ReadFileRequest request;
  request.set_path("/logs/large");
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<machine::v1::ReadFileResponse>>> readers;
  machine::v1::ReadFileResponse response;
  for (int i = 0; i < kMaxFileCalls; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    Become(*contexts.back(), "reader");
    readers.push_back(stub_->ReadFile(contexts.back().get(), request));
    ASSERT_TRUE(readers.back()->Read(&response));
  }
  EXPECT_TRUE(Soon([&] { return ReadFile("/open/file").status.ok(); }));
  absl::SleepFor(absl::Seconds(1));  // one place is free; a reader that goes on before its own end would save itself
  for (auto& reader : readers) {
    while (reader->Read(&response)) {
    }
    EXPECT_FALSE(reader->Finish().ok());
  }
}

TEST_F(FileServiceTest, ACancelledWalkStops) {
  for (int i = 0; i < 3000; ++i) Put(absl::StrCat("/data/", i), "");
  for (int turn = 0; turn < 20; ++turn) {
    grpc::ClientContext context;
    Become(context, "admin");
    machine::v1::ArchiveRequest request;
    request.set_path("/data");
    auto reader = stub_->Archive(&context, request);
    machine::v1::ArchiveResponse response;
    ASSERT_TRUE(reader->Read(&response));
    context.TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(Soon([&] { return FileServiceTest::Usage("/data").status.ok(); }));
}

// The last words of a stalled call come whole: the end waits for the message before it.
TEST_F(FileServiceTest, ManyAtOnceAreAllWhole) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) absl::StrAppend(&text, i, "\n");
  Put("/logs/file", text);
  std::vector<std::thread> threads;
  std::atomic<int> whole = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 20; ++turn) whole += ReadFile("/logs/file", "reader").data == text ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(whole, 160);
}

TEST(ShownPath, IsText) {
  EXPECT_EQ(ShownPath("/a/\xc3\xa4"), "/a/\xc3\xa4");
  EXPECT_EQ(ShownPath("\xff/\xc3"), "\xef\xbf\xbd/\xef\xbf\xbd");
  EXPECT_EQ(ShownPath(""), "");
}

}  // namespace
}  // namespace stele::machined
