// Files and media, whole and damaged, and the check of chunks beneath.
#include "image_file/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/file.h"
#include "image_file/chunk_check.h"
#include "image_file/test_image.h"

namespace stele::image_file {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

class ReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/image-file-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string File(const std::string& name, absl::string_view bytes) {
    std::string path = absl::StrCat(directory_, "/", name);
    EXPECT_TRUE(ReplaceFile(path, bytes).ok());
    return path;
  }
  // Every part of it, put together; the first failure.
  static absl::Status ReadWhole(const Reader& reader, std::vector<std::string>* parts) {
    RETURN_IF_ERROR(reader.CheckPadding());
    for (int i = 0; i < reader.header().part_count(); ++i) {
      std::string part;
      RETURN_IF_ERROR(reader.ReadPart(i, [&](uint64_t offset, absl::string_view chunk) {
        EXPECT_EQ(offset, part.size());
        part.append(chunk.data(), chunk.size());
        return absl::OkStatus();
      }));
      parts->push_back(std::move(part));
    }
    return absl::OkStatus();
  }
  absl::Status Check(absl::string_view bytes) {
    ASSIGN_OR_RETURN(Reader reader, Reader::Open(File("image", bytes)));
    std::vector<std::string> parts;
    return ReadWhole(reader, &parts);
  }

  std::string directory_;
};

TEST_F(ReaderTest, HandsOutTheParts) {
  TestImage image = TestImage::Make();
  absl::StatusOr<Reader> reader = Reader::Open(File("image", image.FileBytes()));
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<std::string> parts;
  ASSERT_TRUE(ReadWhole(*reader, &parts).ok());
  EXPECT_EQ(parts, image.parts);
}

TEST_F(ReaderTest, TwoPiecesAsOnAMedium) {
  TestImage image = TestImage::Make();
  std::string file = image.FileBytes();
  size_t head = file.size() - Padded(image.parts[2].size());
  absl::StatusOr<Reader> reader =
      Reader::OpenMedium(File("head", file.substr(0, head)), File("root", image.parts[2] + "more of the device"));
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<std::string> parts;
  ASSERT_TRUE(ReadWhole(*reader, &parts).ok());
  EXPECT_EQ(parts, image.parts);
  EXPECT_TRUE(absl::IsDataLoss(Reader::OpenMedium(directory_ + "/head", File("root", "short")).status()));
  EXPECT_TRUE(
      absl::IsDataLoss(Reader::OpenMedium(File("head", file.substr(0, head - 1)), directory_ + "/root").status()));
  EXPECT_FALSE(Reader::OpenMedium(directory_ + "/head", "/nonexistent").ok());
}

TEST_F(ReaderTest, CutShortAnywhere) {
  std::string file = TestImage::Make().FileBytes();
  for (size_t size : {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{500}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Check(file.substr(0, size)))) << size;
  }
  size_t uki = 4096 + 8192, root = uki + 151552;
  for (auto [size, where] : std::vector<std::pair<size_t, const char*>>{{4095, "the header"},
                                                                        {4096, "part loader"},
                                                                        {uki, "part uki"},
                                                                        {root - 1, "part uki"},
                                                                        {root, "part root"},
                                                                        {file.size() - 1, "part root"}}) {
    absl::Status status = Check(file.substr(0, size));
    EXPECT_TRUE(absl::IsDataLoss(status)) << size << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat("cut short in ", where, ": ", size, " bytes of ")))
        << size;
  }
  EXPECT_THAT(std::string(Check(file + "x").message()), HasSubstr("1 bytes too many"));
}

// Whatever byte behind the header changes, it is found, and the line says where.
TEST_F(ReaderTest, EveryChangedByteIsFound) {
  std::string file = TestImage::Make().FileBytes();
  Header header = *ParseHeader(file);
  for (size_t at = header.signed_size; at < file.size(); at += 9973) {
    std::string changed = file;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    absl::Status status = Check(changed);
    ASSERT_TRUE(absl::IsDataLoss(status)) << at << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("offset "));
  }
  std::string changed = file;
  changed[header.offsets[1] + 70'000] ^= 1;
  EXPECT_EQ(Check(changed).message(),
            absl::StrCat("part uki, chunk 1 at offset ", header.offsets[1] + 65536, ": not what the manifest says"));
}

TEST_F(ReaderTest, ChunksThatFitAWholeThatDoesNot) {
  TestImage image = TestImage::Make();
  image.manifest.mutable_parts(1)->set_sha256(std::string(32, 'x'));
  EXPECT_EQ(Check(image.FileBytes()).message(), "part uki as a whole: not what the manifest says");
}

TEST_F(ReaderTest, OtherThingsThanFiles) {
  EXPECT_TRUE(absl::IsNotFound(Reader::Open("/nonexistent").status()));
  EXPECT_THAT(std::string(Reader::Open("/").status().message()), EndsWith("neither a file nor a block device"));
  ASSERT_EQ(::mkfifo((directory_ + "/fifo").c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(Reader::Open(directory_ + "/fifo").status()));
}

TEST_F(ReaderTest, AFailureOfTheCallerEndsIt) {
  Reader reader = *Reader::Open(File("image", TestImage::Make().FileBytes()));
  int calls = 0;
  absl::Status status = reader.ReadPart(1, [&](uint64_t, absl::string_view) {
    ++calls;
    return absl::ResourceExhaustedError("disk full");
  });
  EXPECT_EQ(status.message(), "disk full");
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(absl::IsOutOfRange(reader.ReadPart(3, nullptr)));
}

TEST(ChunkCheck, OneChunkAlone) {
  TestImage image = TestImage::Make();
  Header header = *ParseHeader(image.HeaderBytes());
  absl::string_view uki = image.parts[1];
  EXPECT_TRUE(CheckChunk(header, 1, 2, uki.substr(131072)).ok());
  EXPECT_TRUE(absl::IsDataLoss(CheckChunk(header, 1, 2, uki.substr(131073))));
  EXPECT_TRUE(absl::IsDataLoss(CheckChunk(header, 1, 1, uki.substr(0, 65536))));
  for (auto [part, chunk] : {std::pair(-1, 0), {3, 0}, {1, -1}, {1, 3}}) {
    EXPECT_TRUE(absl::IsOutOfRange(CheckChunk(header, part, chunk, ""))) << part << chunk;
  }
}

TEST(ChunkCheck, PiecesOfAnySize) {
  TestImage image = TestImage::Make();
  Header header = *ParseHeader(image.HeaderBytes());
  absl::string_view uki = image.parts[1];
  for (size_t piece : {size_t{1000}, size_t{65536}, size_t{65537}, uki.size()}) {
    PartCheck check(header, 1);
    for (size_t at = 0; at < uki.size(); at += piece) {
      ASSERT_TRUE(check.Add(uki.substr(at, piece)).ok());
      EXPECT_EQ(check.checked(), check.size() == uki.size() ? uki.size() : check.size() / 65536 * 65536);
    }
    EXPECT_TRUE(check.Finish().ok());
  }
  PartCheck check(header, 1);
  ASSERT_TRUE(check.Add(uki.substr(0, 1000)).ok());
  EXPECT_TRUE(absl::IsDataLoss(check.Finish()));
  PartCheck longer(header, 1);
  ASSERT_TRUE(longer.Add(uki).ok());
  EXPECT_THAT(std::string(longer.Add("x").message()), HasSubstr("more than its 150000 bytes"));
}

}  // namespace
}  // namespace stele::image_file
