// osctl image inspect and verify, offline.
#include <gmock/gmock.h>

#include "absl/strings/escaping.h"
#include "image_file/test_image.h"
#include "osctl/fake_node.h"

namespace stele::osctl {
namespace {

using image_file::TestImage;
using image_file::TestKey;
using testing::HasSubstr;

class ImageFileTest : public testing::Test {
 protected:
  Outcome Osctl(const std::vector<std::string>& words) { return RunOsctl(words, {}); }  // no context at all

  TemporaryDirectory directory_;
  TestImage image_ = TestImage::Make();
};

TEST_F(ImageFileTest, Inspect) {
  image_.keys.push_back(TestKey::P256());
  std::string file = directory_.File("stele.img", image_.FileBytes());
  Outcome table = Osctl({"image", "inspect", file});
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("Version:       0.2.0\n"));
  EXPECT_THAT(table.out, HasSubstr("Upgrades from: 0.1.0 or later\n"));
  EXPECT_THAT(table.out, HasSubstr(absl::StrCat("Signed by key: ", absl::BytesToHexString(image_.keys[0].Id()), ", ",
                                                absl::BytesToHexString(image_.keys[1].Id()), "\n")));
  EXPECT_THAT(table.out, HasSubstr("uki     146KiB  12288"));
  Outcome json = Osctl({"image", "inspect", file, "-o", "json"});
  EXPECT_THAT(json.out, HasSubstr("\"rootHash\": \"" + absl::BytesToHexString(image_.manifest.verity().root_hash())));
  EXPECT_THAT(Osctl({"image", "inspect", file, "-o", "yaml"}).out, HasSubstr("version: \"0.2.0\"\n"));
}

TEST_F(ImageFileTest, VerifyGood) {
  std::string file = directory_.File("stele.img", image_.FileBytes());
  std::string other = directory_.File("other.pem", TestKey::P256().PublicPem());
  std::string key = directory_.File("release.pem", image_.keys[0].PublicPem());
  Outcome run = Osctl({"image", "verify", file, "--key", other, "--key", key});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr(file + ": good: version 0.2.0 for x86_64, "));
  EXPECT_THAT(run.out, HasSubstr(", signed by release\n"));
  EXPECT_EQ(run.err, "");
  Outcome untrusted = Osctl({"image", "verify", file, "--key", other});
  EXPECT_EQ(untrusted.code, 8);
  EXPECT_THAT(untrusted.err, HasSubstr("the image is signed by "));
}

// One line, exit code 8, and it says where.
TEST_F(ImageFileTest, VerifyBad) {
  std::string key = directory_.File("release.pem", image_.keys[0].PublicPem());
  std::string whole = image_.FileBytes();
  auto verify = [&](const std::string& bytes) {
    Outcome run = Osctl({"image", "verify", directory_.File("bad.img", bytes), "--key", key});
    EXPECT_EQ(run.code, 8) << run.err;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    return run.err;
  };
  std::string flipped = whole;
  flipped[200'000] ^= 1;
  EXPECT_THAT(verify(flipped), HasSubstr("bad.img: part root, chunk 0 at offset 163840: not what the manifest says"));
  std::string padding = whole;
  padding[4095] = 'x';
  EXPECT_THAT(verify(padding), HasSubstr("offset 4095, between the parts: not zero"));
  EXPECT_THAT(verify(whole.substr(0, 100'000)), HasSubstr("cut short in part uki"));
  EXPECT_THAT(verify("nonsense"), HasSubstr("not a Stele image file"));
  TestImage unsigned_image = image_;
  unsigned_image.keys.clear();
  EXPECT_THAT(verify(unsigned_image.FileBytes()), HasSubstr("bad.img: the image is not signed"));
}

TEST_F(ImageFileTest, WrongArguments) {
  std::string file = directory_.File("stele.img", image_.FileBytes());
  EXPECT_EQ(Osctl({"image", "verify", file}).code, 2);
  EXPECT_EQ(Osctl({"image", "verify", file, "--key", "/nonexistent.pem"}).code, 8);
  Outcome private_key =
      Osctl({"image", "verify", file, "--key", directory_.File("secret.pem", image_.keys[0].PrivatePem())});
  EXPECT_EQ(private_key.code, 8);
  EXPECT_THAT(private_key.err, HasSubstr("secret.pem: a private key; `openssl pkey -in KEY -pubout` makes"));
  EXPECT_EQ(Osctl({"image", "inspect", "/nonexistent"}).code, 8);
  EXPECT_EQ(Osctl({"image", "inspect"}).code, 2);
}

}  // namespace
}  // namespace stele::osctl
