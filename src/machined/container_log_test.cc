#include "machined/container_log.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "machined/kernel_log.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {
namespace {

class ContainerLogTest : public testing::Test {
 protected:
  ContainerLogTest() {
    std::string path = "/tmp/container_log_test.XXXXXX";
    directory_ = ::mkdtemp(path.data());
    path_ = directory_ + "/0.log";
  }
  ~ContainerLogTest() override {
    ::unlink(path_.c_str());
    ::unlink((path_ + ".old").c_str());
    ::rmdir(directory_.c_str());
  }
  void Write(const std::string& text) { std::ofstream(path_, std::ios::app) << text; }
  std::string Line(int second, const std::string& text, char tag = 'F') {
    return absl::StrCat("2024-05-01T10:00:", second < 10 ? "0" : "", second, ".000000001Z stdout ", std::string(1, tag),
                        " ", text, "\n");
  }
  std::unique_ptr<LogSource> Open(const LogStart& from = {}) {
    auto log = ContainerLog::Open(path_, from);
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }
  std::string ReadAll(LogSource& log, std::string* cursor = nullptr) {
    std::string all;
    while (true) {
      absl::StatusOr<LogChunk> chunk = log.Next();
      EXPECT_TRUE(chunk.ok()) << chunk.status();
      if (!chunk.ok()) return all;
      if (cursor != nullptr) *cursor = chunk->cursor;
      if (chunk->data.size() == 0) return all;
      all.append(chunk->data.view().data(), chunk->data.size());
    }
  }
  std::string directory_;
  std::string path_;
};

TEST_F(ContainerLogTest, GivesTextWithoutTheRuntimesMarks) {
  Write(Line(1, "hello") + Line(2, "a ", 'P') + Line(2, "long one") + Line(3, "") + "rubbish\n" + Line(4, "  end"));
  EXPECT_EQ(ReadAll(*Open()), "hello\na long one\n\n  end\n");
}

TEST_F(ContainerLogTest, ALineInPiecesIsNotCutWhereAChunkEnds) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += Line(1, std::string(16'000, 'a'), 'P') + Line(1, "end");
  Write(text);
  auto log = Open();
  for (int chunks = 0; chunks < 10; ++chunks) {
    absl::StatusOr<LogChunk> chunk = log->Next();
    ASSERT_TRUE(chunk.ok());
    if (chunk->data.size() == 0) break;
    EXPECT_EQ(chunk->data.size() % 16'004, 0u);
    EXPECT_EQ(chunk->data.view().back(), '\n');
  }
  EXPECT_EQ(ReadAll(*Open()).size(), 60u * 16'004);
}

TEST_F(ContainerLogTest, FollowsThroughRotation) {
  Write(Line(1, "one"));
  auto log = Open();
  EXPECT_EQ(ReadAll(*log), "one\n");
  Write(Line(2, "two"));
  ASSERT_EQ(::rename(path_.c_str(), (path_ + ".old").c_str()), 0);
  std::ofstream(path_ + ".old", std::ios::app) << Line(3, "three");  // before the runtime opens the new one
  Write(Line(4, "four"));
  EXPECT_EQ(ReadAll(*log), "two\nthree\nfour\n");
}

TEST_F(ContainerLogTest, CursorFindsItsPlaceAfterRotation) {
  Write(Line(1, "one"));
  std::string cursor;
  ReadAll(*Open(), &cursor);
  Write(Line(2, "two"));
  ASSERT_EQ(::rename(path_.c_str(), (path_ + ".old").c_str()), 0);
  Write(Line(3, "three"));
  EXPECT_EQ(ReadAll(*Open({.cursor = cursor})), "two\nthree\n");
}

TEST_F(ContainerLogTest, TailAndSince) {
  for (int i = 1; i < 10; ++i) Write(Line(i, absl::StrCat(i)));
  EXPECT_EQ(ReadAll(*Open({.tail_lines = 2})), "8\n9\n");
  absl::Time since = absl::FromUnixSeconds(1714557606);  // 2024-05-01T10:00:06Z
  EXPECT_EQ(ReadAll(*Open({.since = since})), "6\n7\n8\n9\n");
  absl::StatusOr<LogChunk> chunk = Open()->Next();
  ASSERT_TRUE(chunk.ok());
  ASSERT_EQ(chunk->marks.size(), 9u);
  EXPECT_EQ(chunk->marks[1].offset, 2u);
  EXPECT_EQ(absl::ToUnixSeconds(chunk->marks[1].time), 1714557602);
}

TEST_F(ContainerLogTest, WhoDoesNotFollowIsGivenWhatThereWas) {
  Write(Line(1, "one") + Line(2, "two"));
  auto all = Open({.follow = false});
  auto last = Open({.tail_lines = 1, .follow = false});
  Write(Line(3, "three"));
  EXPECT_EQ(ReadAll(*all), "one\ntwo\n");
  ASSERT_EQ(::rename(path_.c_str(), (path_ + ".old").c_str()), 0);
  Write(Line(4, "four"));
  EXPECT_EQ(ReadAll(*last), "two\n");
}

TEST_F(ContainerLogTest, ALineIsGivenOutWhenItHasEnded) {
  Write("2024-05-01T10:00:01Z stdout F ha");
  auto log = Open();
  EXPECT_EQ(ReadAll(*log), "");
  Write("lf\n");
  EXPECT_EQ(ReadAll(*log), "half\n");
}

TEST(FindContainer, ByIdPrefixAndByName) {
  Store store;
  auto put = [&](const std::string& id, const std::string& pod, const std::string& name, int64_t created) {
    resource::v1::Container container;
    container.set_container_id(id + "ffffffff");
    container.set_pod(pod);
    container.set_name(name);
    container.mutable_created()->set_seconds(created);
    ASSERT_TRUE(store.Put("cri", id, container).ok());
  };
  put("aaa1", "default/web", "nginx", 1);
  put("aaa2", "default/web", "nginx", 2);
  put("aab3", "default/web", "sidecar", 1);
  put("ccc4", "default/job", "main", 1);
  EXPECT_EQ((*FindContainer(store, "ccc"))->id, "ccc4");
  EXPECT_EQ((*FindContainer(store, "default/job"))->id, "ccc4");
  EXPECT_EQ((*FindContainer(store, "default/web/nginx"))->id, "aaa2");  // the newest run
  EXPECT_EQ(FindContainer(store, "default/web").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FindContainer(store, "aa").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FindContainer(store, "default/none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FindContainer(store, "").status().code(), absl::StatusCode::kNotFound);
}

TEST(KernelRecord, LooksLikeDmesg) {
  KernelRecord record;
  ASSERT_TRUE(ParseKernelRecord("6,339,5140900,-;NET: Registered\\x0afamily\n SUBSYSTEM=net\n", record));
  EXPECT_EQ(record.sequence, 339u);
  EXPECT_EQ(record.text, "[    5.140900] NET: Registered\n               family\n");
  EXPECT_FALSE(ParseKernelRecord("no record", record));
}

}  // namespace
}  // namespace stele::machined
