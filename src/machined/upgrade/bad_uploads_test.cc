// Uploads that are not an image, or not all of it, or not for this node: each gets its typed error, and not one byte
// ends under a name that a boot loader takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machined/upgrade/node_for_test.h"
#include "machined/upgrade/rate_floor.h"

namespace stele::machined {
namespace {

using absl::StatusCode;
using image_file::TestImage;
using image_file::TestKey;

// What a client sends.
struct Sent {
  std::string header;
  std::string file;
  NodeForTest::Upload upload;
  UpgradePlace place;
};

struct BadUpload {
  const char* name;
  StatusCode code;
  // Makes it bad. `image` is good, and is what the bytes are made from afterwards unless `sent` holds others.
  std::function<void(TestImage& image)> change_image;
  std::function<void(const TestImage& image, Sent& sent)> change_sent;
};

BadUpload Image(const char* name, StatusCode code, std::function<void(TestImage&)> change) {
  return {name, code, std::move(change), nullptr};
}
BadUpload Bytes(const char* name, StatusCode code, std::function<void(const TestImage&, Sent&)> change) {
  return {name, code, nullptr, std::move(change)};
}
BadUpload CutAt(const char* name, double share) {
  return Bytes(name, StatusCode::kAborted,
               [share](const TestImage&, Sent& sent) { sent.upload.ends_at = sent.file.size() * share; });
}
BadUpload Flip(const char* name, double share) {
  return Bytes(name, StatusCode::kDataLoss,
               [share](const TestImage&, Sent& sent) { sent.file[sent.file.size() * share] ^= 0x10; });
}
// A part whose content is signed and yet nothing to boot from.
void ReplacePart(TestImage& image, size_t which, const std::string& bytes) {
  std::vector<std::string> parts = std::exchange(image.parts, {});
  std::vector<image::v1::PartKind> kinds;
  for (const auto& part : image.manifest.parts()) kinds.push_back(part.kind());
  image.manifest.clear_parts();
  for (size_t i = 0; i < parts.size(); ++i) image.Add(kinds[i], i == which ? bytes : parts[i]);
}

std::vector<BadUpload> Headers() {
  return {
      Bytes("nothing", StatusCode::kInvalidArgument, [](const TestImage&, Sent& sent) { sent.header = ""; }),
      Bytes("garbage header", StatusCode::kInvalidArgument,
            [](const TestImage&, Sent& sent) { sent.header = TestImage::Noise(4096, 1); }),
      Bytes("a gzip file", StatusCode::kInvalidArgument,
            [](const TestImage&, Sent& sent) { sent.header = "\x1f\x8b\x08" + sent.header; }),
      Bytes("half a header", StatusCode::kInvalidArgument,
            [](const TestImage&, Sent& sent) { sent.header.resize(sent.header.size() / 2); }),
      Bytes("a header and more", StatusCode::kInvalidArgument,
            [](const TestImage&, Sent& sent) { sent.header += "x"; }),
      Bytes("a header of 1 MiB", StatusCode::kInvalidArgument,
            [](const TestImage&, Sent& sent) { sent.header.resize(1 << 20); }),
      Bytes("length says 4 GiB", StatusCode::kInvalidArgument,
            [](const TestImage&, Sent& sent) { sent.header.replace(12, 4, "\xff\xff\xff\xff"); }),
      Image("another format", StatusCode::kInvalidArgument, [](TestImage& image) { image.format = 2; }),
      Image("no root", StatusCode::kInvalidArgument,
            [](TestImage& image) {
              image.manifest.mutable_parts()->RemoveLast();
              image.parts.pop_back();
            }),
      Image("root not last", StatusCode::kInvalidArgument,
            [](TestImage& image) { image.manifest.mutable_parts()->SwapElements(1, 2); }),
      Image("two UKIs", StatusCode::kInvalidArgument,
            [](TestImage& image) { image.Add(image::v1::PART_KIND_UKI, "x"); }),
      Image("a part of 2^62 bytes", StatusCode::kInvalidArgument,
            [](TestImage& image) { image.manifest.mutable_parts(1)->set_size(1ull << 62); }),
      Image("a hash of 3 bytes", StatusCode::kInvalidArgument,
            [](TestImage& image) { image.manifest.mutable_parts(1)->set_sha256("abc"); }),
      Image("a chunk too few", StatusCode::kInvalidArgument,
            [](TestImage& image) { image.manifest.mutable_parts(1)->mutable_chunks()->RemoveLast(); }),
      Image("chunks of 1 GiB", StatusCode::kInvalidArgument,
            [](TestImage& image) { image.manifest.set_chunk_size(1 << 30); }),
      Image("no version", StatusCode::kInvalidArgument, [](TestImage& image) { image.manifest.set_version("latest"); }),
      Image("a root that is no tree", StatusCode::kInvalidArgument,
            [](TestImage& image) { image.manifest.mutable_verity()->set_data_blocks(7); }),
  };
}

std::vector<BadUpload> Trust() {
  return {
      Image("not signed", StatusCode::kPermissionDenied, [](TestImage& image) { image.keys.clear(); }),
      Image("signed by a stranger", StatusCode::kPermissionDenied,
            [](TestImage& image) { image.keys = {TestKey::Ed25519()}; }),
      Image(
          "a signature of something else", StatusCode::kPermissionDenied,
          [](TestImage& image) { image.more_signatures = {std::exchange(image.keys, {})[0].Sign("something else")}; }),
      Bytes("signed, then changed", StatusCode::kPermissionDenied,
            [](const TestImage&, Sent& sent) { sent.header.replace(sent.header.find("0.2.0"), 5, "9.2.0"); }),
      {"a stranger's, forced", StatusCode::kPermissionDenied, [](TestImage& image) { image.keys = {TestKey::P256()}; },
       [](const TestImage&, Sent& sent) { sent.upload.force = true; }},
  };
}

std::vector<BadUpload> NotForThisNode() {
  return {
      Image("another architecture", StatusCode::kFailedPrecondition,
            [](TestImage& image) { image.manifest.set_architecture("aarch64"); }),
      Image("only from a later version", StatusCode::kFailedPrecondition,
            [](TestImage& image) { image.manifest.set_minimum_version("0.1.9"); }),
      Image("the one that runs", StatusCode::kFailedPrecondition,
            [](TestImage& image) {
              image.manifest.mutable_verity()->set_root_hash(absl::HexStringToBytes(RunningHash()));
            }),
      Bytes("while on trial", StatusCode::kFailedPrecondition,
            [](const TestImage&, Sent& sent) { sent.place.trial = true; }),
      Image("a root larger than the slot", StatusCode::kResourceExhausted,
            [](TestImage& image) {
              image.manifest.mutable_verity()->set_data_blocks(600);
              ReplacePart(image, 2, TestImage::Noise((600 + image_file::VerityTreeBlocks(600)) * 4096, 3));
            }),
  };
}

std::vector<BadUpload> Contents() {
  return {
      CutAt("cut at once", 0),
      CutAt("cut in the loader", 0.012),
      CutAt("cut in the UKI", 0.2),
      CutAt("cut in the root", 0.7),
      Bytes("cut one byte before the end", StatusCode::kAborted,
            [](const TestImage&, Sent& sent) { sent.upload.ends_at = sent.file.size() - 1; }),
      Flip("a bit of the UKI", 0.15),
      Flip("a bit of the root", 0.5),
      Flip("a bit of the last chunk", 0.999),
      Bytes("too long", StatusCode::kInvalidArgument,
            [](const TestImage&, Sent& sent) { sent.file += std::string(60'000, '\0'); }),
      Bytes("pieces in another order", StatusCode::kDataLoss,
            [](const TestImage&, Sent& sent) {
              std::swap_ranges(sent.file.begin() + 20'000, sent.file.begin() + 70'000, sent.file.begin() + 100'000);
            }),
      Bytes("zeros", StatusCode::kDataLoss,
            [](const TestImage&, Sent& sent) { sent.file.assign(sent.file.size(), '\0'); }),
      Bytes("from the beginning again", StatusCode::kDataLoss,
            [](const TestImage&, Sent& sent) {
              sent.file = sent.file.substr(0, 50'000) + sent.file;
              sent.file.resize(sent.file.size() - 50'000);
            }),
      Bytes("something behind a part", StatusCode::kDataLoss,
            [](const TestImage& image, Sent& sent) {
              sent.file[image_file::Padded(sent.header.size()) + image.parts[0].size() + 1] = 'x';
            }),
      Bytes("nothing for 30 s", StatusCode::kDeadlineExceeded,
            [](const TestImage&, Sent& sent) {
              sent.upload.next = [](uint64_t at) {
                return at > 90'000 ? absl::DeadlineExceededError("no byte for 30 s") : absl::OkStatus();
              };
            }),
      Bytes("a byte a second", StatusCode::kDeadlineExceeded,
            [](const TestImage&, Sent& sent) {
              sent.upload.piece = 1;
              sent.upload.next = [floor = RateFloor()](uint64_t) mutable { return floor.Add(absl::Seconds(1), 1); };
            }),
      Bytes("the client goes away", StatusCode::kCancelled,
            [](const TestImage&, Sent& sent) {
              sent.upload.next = [](uint64_t at) {
                return at > 250'000 ? absl::CancelledError("gone") : absl::OkStatus();
              };
            }),
      // Signed by who is trusted, and still not to be booted.
      Image("a UKI that is no program", StatusCode::kInvalidArgument,
            [](TestImage& image) { ReplacePart(image, 1, TestImage::Noise(90'000, 4)); }),
      Image("a UKI for another root", StatusCode::kDataLoss,
            [](TestImage& image) { ReplacePart(image, 1, MakeUki(std::string(64, 'e'), 90'000)); }),
      Image("a UKI without an initrd", StatusCode::kDataLoss,
            [](TestImage& image) {
              std::string root = absl::BytesToHexString(image.manifest.verity().root_hash());
              ReplacePart(
                  image, 1,
                  MakePe({{".osrel", "ID=stele"}, {".cmdline", "stele.root=" + root + ":1:00"}, {".linux", "kernel"}}));
            }),
      Image("a loader that is no program", StatusCode::kInvalidArgument,
            [](TestImage& image) { ReplacePart(image, 0, TestImage::Noise(9000, 5)); }),
  };
}

std::vector<BadUpload> All() {
  std::vector<BadUpload> all;
  for (auto part : {Headers, Trust, NotForThisNode, Contents}) {
    for (BadUpload& bad : part()) all.push_back(std::move(bad));
  }
  return all;
}

TEST(BadUploads, EachIsATypedErrorAndNothingBootable) {
  TestKey key = TestKey::Ed25519();
  std::vector<BadUpload> all = All();
  EXPECT_GE(all.size(), 40u);
  for (const BadUpload& bad : all) {
    SCOPED_TRACE(bad.name);
    std::string pattern = testing::TempDir() + "/bad.XXXXXX";
    NodeForTest node(::mkdtemp(pattern.data()));
    node.Make(key);
    std::string running = ReadTestFile(node.Uki("stele-1.efi")), slot = ReadTestFile(node.folder() + "/a");
    TestImage image = GoodImage("0.2.0", 7, key);
    if (bad.change_image) bad.change_image(image);
    Sent sent = {image.HeaderBytes(), image.FileBytes(), {}, node.Place()};
    if (bad.change_sent) bad.change_sent(image, sent);
    absl::Status status = node.Stage(sent.place, sent.header, sent.file, sent.upload);
    EXPECT_EQ(status.code(), bad.code) << status;
    EXPECT_EQ(node.Bootable(), std::vector<std::string>{"stele-1.efi"});
    EXPECT_EQ(ReadTestFile(node.Uki("stele-1.efi")), running);
    EXPECT_EQ(ReadTestFile(node.folder() + "/a"), slot);
    std::vector<std::string> warnings;
    auto no_entries = [](const std::string&) { return absl::OkStatus(); };
    auto go = [] { return absl::OkStatus(); };
    EXPECT_TRUE(absl::IsFailedPrecondition(ActivateStaged(node.Place(), node.Store(), no_entries, {}, go, &warnings)));
    // And a good one after it is none the worse.
    TestImage good = GoodImage("0.2.1", 11, key);
    NodeForTest::Upload upload;
    EXPECT_EQ(node.Stage(node.Place(), good.HeaderBytes(), good.FileBytes(), upload), absl::OkStatus());
    std::filesystem::remove_all(node.folder());
  }
}

}  // namespace
}  // namespace stele::machined
