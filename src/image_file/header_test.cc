// Headers as they should be, and every way in which a hostile one is not.
#include "image_file/header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "image_file/test_image.h"

namespace stele::image_file {
namespace {

using stele::image::v1::Manifest;
using testing::HasSubstr;

TEST(Header, SaysWhereEverythingIs) {
  TestImage image = TestImage::Make();
  std::string bytes = image.HeaderBytes();
  EXPECT_EQ(*HeaderLength(bytes.substr(0, kPrefixSize)), bytes.size());
  absl::StatusOr<Header> header = ParseHeader(image.FileBytes());  // what follows does not matter
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->manifest_bytes, image.ManifestBytes());
  EXPECT_EQ(header->signatures.size(), 1u);
  EXPECT_EQ(header->signed_size, bytes.size());
  EXPECT_EQ(header->size, 4096u);
  EXPECT_THAT(header->offsets, testing::ElementsAre(4096, 4096 + 8192, 4096 + 8192 + 151552));
  EXPECT_EQ(header->total_size, image.FileBytes().size());
  EXPECT_EQ(header->Find(stele::image::v1::PART_KIND_UKI), 1);
  EXPECT_EQ(header->ChunkSize(1, 0), 65536u);
  EXPECT_EQ(header->ChunkSize(1, 2), 150'000u - 2 * 65536);
  EXPECT_EQ(header->ChunkSize(1, 3), 0u);
  EXPECT_EQ(PartName(stele::image::v1::PART_KIND_ROOT), "root");
}

TEST(Header, AnImageWithoutLoaderIsOne) {
  TestImage image = TestImage::Make();
  image.manifest.mutable_parts()->DeleteSubrange(0, 1);
  absl::StatusOr<Header> header = ParseHeader(image.HeaderBytes());
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->Find(stele::image::v1::PART_KIND_LOADER), -1);
}

TEST(Header, CutShortAtEveryByte) {
  std::string bytes = TestImage::Make().HeaderBytes();
  for (size_t size = 0; size < bytes.size(); ++size) {
    absl::Status status = ParseHeader(absl::string_view(bytes).substr(0, size)).status();
    ASSERT_TRUE(absl::IsInvalidArgument(status)) << size << status;
  }
  EXPECT_TRUE(ParseHeader(bytes).ok());
}

TEST(Header, WrongBeginnings) {
  TestImage image = TestImage::Make();
  image.format = 2;
  EXPECT_THAT(std::string(ParseHeader(image.HeaderBytes()).status().message()),
              HasSubstr("an image file of format 2; this program knows format 1"));
  EXPECT_THAT(std::string(ParseHeader("PK\x03\x04 some archive or other").status().message()),
              HasSubstr("not a Stele image file"));
  std::string zero = TestImage::Frame("");
  EXPECT_THAT(std::string(HeaderLength(zero).status().message()), HasSubstr("a signed manifest of 0 bytes"));
  std::string huge = TestImage::Frame("");
  for (size_t i = 12; i < 16; ++i) huge[i] = '\xff';
  EXPECT_THAT(std::string(HeaderLength(huge).status().message()), HasSubstr("a signed manifest of 4294967295 bytes"));
  EXPECT_THAT(std::string(ParseHeader(TestImage::Frame("\xff\xff\xff")).status().message()),
              HasSubstr("no SignedManifest message"));
}

// No bit of the frame may be otherwise; what the signature covers is signature_test.cc's.
TEST(Header, EveryBitOfTheFrameCounts) {
  std::string bytes = TestImage::Make().HeaderBytes();
  for (size_t bit = 0; bit < 8 * kPrefixSize; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(ParseHeader(flipped).ok()) << bit;
  }
}

TEST(Header, NeverCrashesOnFlippedBits) {
  std::string bytes = TestImage::Make().HeaderBytes();
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
      absl::StatusOr<Header> header = ParseHeader(flipped);
      EXPECT_TRUE(!header.ok() || header->total_size <= kMaxImage);
    }
  }
}

struct Wrong {
  const char* message;
  std::function<void(Manifest*)> change;
};

TEST(Header, EveryBoundOfTheManifest) {
  const uint64_t huge = uint64_t{1} << 63;
  const std::vector<Wrong> all = {
      {"version: '' is no version", [](Manifest* m) { m->clear_version(); }},
      {"version: '1.2' is no version", [](Manifest* m) { m->set_version("1.2"); }},
      {"minimum_version: 'x'", [](Manifest* m) { m->set_minimum_version("x"); }},
      {"no architecture", [](Manifest* m) { m->clear_architecture(); }},
      {"architecture of 33 bytes", [](Manifest* m) { m->set_architecture(std::string(33, 'x')); }},
      {"build_id holds what is no printable", [](Manifest* m) { m->set_build_id("a\x1b[2J"); }},
      {"build_id of 129 bytes", [](Manifest* m) { m->set_build_id(std::string(129, 'x')); }},
      {"sbom_sha256 of 3 bytes", [](Manifest* m) { m->set_sbom_sha256("abc"); }},
      {"chunk_size 0", [](Manifest* m) { m->clear_chunk_size(); }},
      {"chunk_size 32768", [](Manifest* m) { m->set_chunk_size(32 << 10); }},
      {"chunk_size 65537", [](Manifest* m) { m->set_chunk_size(65537); }},
      {"chunk_size 8388608", [](Manifest* m) { m->set_chunk_size(8 << 20); }},
      {"chunk_size 2147483648", [](Manifest* m) { m->set_chunk_size(uint32_t{1} << 31); }},
      {"no part is the uki", [](Manifest* m) { m->clear_parts(); }},
      {"no part is the uki", [](Manifest* m) { m->mutable_parts()->DeleteSubrange(1, 1); }},
      {"no part is the root", [](Manifest* m) { m->mutable_parts()->DeleteSubrange(2, 1); }},
      {"the root is not the last", [](Manifest* m) { m->mutable_parts()->SwapElements(0, 2); }},
      {"9 parts; at most 8",
       [](Manifest* m) {
         while (m->parts_size() < 9) *m->add_parts() = m->parts(0);
       }},
      {"part 1: a second loader", [](Manifest* m) { *m->mutable_parts(1) = m->parts(0); }},
      {"part 0: of a kind", [](Manifest* m) { m->mutable_parts(0)->clear_kind(); }},
      {"kind that is not known here: 9",
       [](Manifest* m) { m->mutable_parts(0)->set_kind(static_cast<stele::image::v1::PartKind>(9)); }},
      {"part 0: of a kind",
       [](Manifest* m) { m->mutable_parts(0)->set_kind(static_cast<stele::image::v1::PartKind>(-1)); }},
      {"part 0 (loader): 0 bytes", [](Manifest* m) { m->mutable_parts(0)->set_size(0); }},
      {"part 1 (uki): 9223372036854775808 bytes", [=](Manifest* m) { m->mutable_parts(1)->set_size(huge); }},
      {"part 1 (uki): 18446744073709551615 bytes", [](Manifest* m) { m->mutable_parts(1)->set_size(UINT64_MAX); }},
      {"part 1 (uki): 3 chunks for 999999 bytes, which are 16",
       [](Manifest* m) { m->mutable_parts(1)->set_size(999'999); }},
      {"part 1 (uki): 4 chunks", [](Manifest* m) { m->mutable_parts(1)->add_chunks(std::string(32, 'x')); }},
      {"part 1 (uki): 0 chunks", [](Manifest* m) { m->mutable_parts(1)->clear_chunks(); }},
      {"part 1 (uki): chunk 1: a hash of 31",
       [](Manifest* m) { m->mutable_parts(1)->set_chunks(1, std::string(31, 'x')); }},
      {"part 2 (root): sha256 of 0 bytes", [](Manifest* m) { m->mutable_parts(2)->clear_sha256(); }},
      {"verity: root_hash of 0 bytes", [](Manifest* m) { m->clear_verity(); }},
      {"verity: salt of 33 bytes", [](Manifest* m) { m->mutable_verity()->set_salt(std::string(33, 's')); }},
      {"verity: 0 blocks", [](Manifest* m) { m->mutable_verity()->clear_data_blocks(); }},
      {"verity: 9223372036854775808 blocks", [=](Manifest* m) { m->mutable_verity()->set_data_blocks(huge); }},
      {"verity: 99 blocks of data and their tree are 409600 bytes; the root has 413696",
       [](Manifest* m) { m->mutable_verity()->set_data_blocks(99); }},
  };
  for (const Wrong& wrong : all) {
    TestImage image = TestImage::Make();
    wrong.change(&image.manifest);
    absl::Status status = ParseHeader(image.HeaderBytes()).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << wrong.message << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(wrong.message));
  }
}

TEST(Header, AllPartsTogetherAreBounded) {
  TestImage image = TestImage::Make();
  image.manifest.set_chunk_size(kMaxChunk);
  for (auto& part : *image.manifest.mutable_parts()) {
    part.set_size(uint64_t{768} << 20);
    part.clear_chunks();
    for (int i = 0; i < 192; ++i) part.add_chunks(std::string(32, 'x'));
  }
  uint64_t blocks = (uint64_t{768} << 20) / 4096;
  while (blocks + VerityTreeBlocks(blocks) > (uint64_t{768} << 20) / 4096) --blocks;
  image.manifest.mutable_verity()->set_data_blocks(blocks);
  absl::Status status = ParseHeader(image.HeaderBytes()).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("an image of 2415939584 bytes; at most 1610612736"));
}

TEST(Header, EveryBoundOfTheSignatures) {
  stele::image::v1::Signature signature;
  signature.set_key_id(std::string(32, 'k'));
  signature.set_signature("s");
  auto parse = [](const std::vector<stele::image::v1::Signature>& more) {
    TestImage image = TestImage::Make();
    image.more_signatures = more;
    return ParseHeader(image.HeaderBytes()).status();
  };
  EXPECT_TRUE(parse(std::vector(7, signature)).ok());
  EXPECT_THAT(std::string(parse(std::vector(8, signature)).message()), HasSubstr("9 signatures; at most 8"));
  signature.set_key_id("short");
  EXPECT_THAT(std::string(parse({signature}).message()), HasSubstr("signature 1: a key id of 5 bytes"));
  signature.set_key_id(std::string(32, 'k'));
  signature.set_signature(std::string(129, 's'));
  EXPECT_THAT(std::string(parse({signature}).message()), HasSubstr("signature 1: 129 bytes"));
  signature.clear_signature();
  EXPECT_THAT(std::string(parse({signature}).message()), HasSubstr("signature 1: 0 bytes"));
}

// veritysetup's figures for these sizes.
TEST(Verity, BlocksOfTheTree) {
  EXPECT_EQ(VerityTreeBlocks(2), 1u);
  EXPECT_EQ(VerityTreeBlocks(128), 1u);
  EXPECT_EQ(VerityTreeBlocks(129), 3u);
  EXPECT_EQ(VerityTreeBlocks(128 * 128), 129u);
  EXPECT_EQ(VerityTreeBlocks(128 * 128 + 1), 129u + 1 + 2 + 1 - 1);
}

}  // namespace
}  // namespace stele::image_file
