#include "machined/files/file_read.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <fstream>

#include "machined/files/archive.h"
#include "machined/files/file_fixture.h"

namespace stele::machined {
namespace {

class FileReadTest : public FileTest {
 protected:
  absl::StatusOr<std::string> Range(const std::string& real, ReadRange range,
                                    std::function<absl::Status()> pause = nullptr) {
    UniqueFd file(::open(real.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text;
    uint64_t at = UINT64_MAX;
    ReadHands hands;
    hands.take = [&](uint64_t offset, std::string& bytes) {
      EXPECT_TRUE(at == UINT64_MAX || offset == 0 || offset == at) << offset;
      at = offset + bytes.size();
      EXPECT_LE(bytes.size(), kFileChunk);
      text += bytes;
      return absl::OkStatus();
    };
    hands.pause = pause ? pause : [] { return absl::InternalError("paused"); };
    RETURN_IF_ERROR(ReadFileRange(file.get(), range, hands));
    return text;
  }
};

TEST_F(FileReadTest, Ranges) {
  std::string text;
  for (int i = 0; i < 60'000; ++i) absl::StrAppend(&text, i, "\n");
  Put("/open/file", text);
  std::string real = Real("/open/file");
  EXPECT_EQ(*Range(real, {}), text);
  EXPECT_EQ(*Range(real, {.offset = 7}), text.substr(7));
  EXPECT_EQ(*Range(real, {.offset = 7, .limit_bytes = 200'000}), text.substr(7, 200'000));
  EXPECT_EQ(*Range(real, {.limit_bytes = 1}), "0");
  EXPECT_EQ(*Range(real, {.tail_bytes = 6}), "59999\n");
  EXPECT_EQ(*Range(real, {.limit_bytes = 2, .tail_bytes = 6}), "59");
  EXPECT_EQ(*Range(real, {.tail_bytes = 1ULL << 60}), text);
  EXPECT_EQ(*Range(real, {.offset = text.size()}), "");
  EXPECT_EQ(*Range(real, {.offset = 1ULL << 62}), "");
  EXPECT_EQ(Range(real, {.offset = UINT64_MAX}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(*Range(real, {.offset = 7, .limit_bytes = UINT64_MAX}), text.substr(7));
}

TEST_F(FileReadTest, FilesWithoutASize) {
  std::string whole = *Range("/proc/cpuinfo", {});
  EXPECT_THAT(whole, testing::HasSubstr("processor"));
  EXPECT_EQ(*Range("/proc/version", {.tail_bytes = 3}), *Range("/proc/version", {}));
  EXPECT_EQ(Range("/proc/version", {.limit_bytes = 5})->size(), 5u);
}

TEST_F(FileReadTest, Follow) {
  Put("/open/file", "one ");
  std::string real = Real("/open/file");
  int pauses = 0;
  auto text = Range(real, {.follow = true}, [&] {
    switch (++pauses) {
      case 1:
        std::ofstream(real, std::ios::app) << "two ";
        break;
      case 3:
        std::ofstream(real, std::ios::trunc) << "new";  // shorter: it begins anew
        break;
      case 5:
        std::ofstream(real, std::ios::app) << " last";
        ::unlink(real.c_str());
        break;
      default:
        break;
    }
    return pauses < 10 ? absl::OkStatus() : absl::InternalError("did not end");
  });
  EXPECT_EQ(text.value_or(std::string(text.status().message())), "one two new last");
  EXPECT_EQ(pauses, 5);
}

TEST_F(FileReadTest, AFollowerStopsAtItsLimit) {
  Put("/open/file", "1234");
  EXPECT_EQ(*Range(Real("/open/file"), {.limit_bytes = 3, .follow = true}), "123");
}

}  // namespace
}  // namespace stele::machined
