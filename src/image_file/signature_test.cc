#include "image_file/signature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/file.h"
#include "image_file/test_image.h"

namespace stele::image_file {
namespace {

using testing::HasSubstr;

class SignatureTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/image-keys-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Trust(const std::string& name, const std::string& pem) {
    ASSERT_TRUE(ReplaceFile(absl::StrCat(directory_, "/", name), pem).ok());
  }
  absl::StatusOr<std::string> Verify(const TestImage& image) { return VerifyBytes(image.HeaderBytes()); }
  absl::StatusOr<std::string> VerifyBytes(const std::string& bytes) {
    ASSIGN_OR_RETURN(Header header, ParseHeader(bytes));
    ASSIGN_OR_RETURN(TrustedKeys keys, TrustedKeys::Load(directory_));
    return keys.Verify(header.manifest_bytes, header.signatures);
  }

  std::string directory_;
};

TEST_F(SignatureTest, Ed25519) {
  TestImage image = TestImage::Make();
  Trust("release-2026.pem", image.keys[0].PublicPem());
  absl::StatusOr<std::string> name = Verify(image);
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(*name, "release-2026");
}

TEST_F(SignatureTest, EcdsaOnP256) {
  TestImage image = TestImage::Make();
  image.keys = {TestKey::P256()};
  Trust("company.pem", image.keys[0].PublicPem());
  absl::StatusOr<std::string> name = Verify(image);
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(*name, "company");
}

// How keys rotate: old nodes know the old key, new nodes the new one, images carry both.
TEST_F(SignatureTest, OneKnownOfTwoIsEnough) {
  TestImage image = TestImage::Make();
  image.keys.push_back(TestKey::P256());
  Trust("second.pem", image.keys[1].PublicPem());
  EXPECT_EQ(*Verify(image), "second");
  Trust("first.pem", image.keys[0].PublicPem());
  EXPECT_EQ(*Verify(image), "first");
}

TEST_F(SignatureTest, ABadOneBesideAGoodOneIsEnough) {
  TestImage two = TestImage::Make();
  two.keys = {TestKey::Ed25519(), TestKey::Ed25519()};
  Trust("a.pem", two.keys[0].PublicPem());
  Trust("b.pem", two.keys[1].PublicPem());
  TestImage broken = two;
  broken.keys = {};
  broken.more_signatures = {two.keys[0].Sign("something else"), two.keys[1].Sign(two.ManifestBytes())};
  EXPECT_EQ(*Verify(broken), "b");
}

TEST_F(SignatureTest, TheManifestIsNotDecodedBeforeItsSignatureIsChecked) {
  TestKey trusted = TestKey::Ed25519(), stranger = TestKey::Ed25519();
  Trust("a.pem", trusted.PublicPem());
  absl::StatusOr<TrustedKeys> keys = TrustedKeys::Load(directory_);
  ASSERT_TRUE(keys.ok()) << keys.status();
  auto parse = [&](const TestKey& key, const std::string& manifest) {
    stele::image::v1::SignedManifest envelope;
    envelope.set_manifest(manifest);
    *envelope.add_signatures() = key.Sign(manifest);
    return ParseTrustedHeader(TestImage::Frame(envelope.SerializeAsString()), *keys).status();
  };
  TestImage image = TestImage::Make();
  EXPECT_TRUE(parse(trusted, image.ManifestBytes()).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(parse(stranger, image.ManifestBytes())));
  // Bytes that are no manifest: whoever asks for them without a trusted signature never learns that.
  for (const char* bad : {"\xff\xff\xff", "\x0a\x7f", ""}) {
    EXPECT_TRUE(absl::IsPermissionDenied(parse(stranger, bad)));
    EXPECT_TRUE(absl::IsInvalidArgument(parse(trusted, bad)));
  }
}

TEST_F(SignatureTest, NotSigned) {
  TestImage image = TestImage::Make();
  image.keys.clear();
  absl::Status status = Verify(image).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status));
  EXPECT_EQ(status.message(), "the image is not signed");
}

TEST_F(SignatureTest, UnknownKeysAreNamed) {
  TestImage image = TestImage::Make();
  absl::Status nobody = Verify(image).status();
  EXPECT_TRUE(absl::IsPermissionDenied(nobody));
  EXPECT_THAT(std::string(nobody.message()), HasSubstr("no key is trusted"));
  TestKey known = TestKey::P256();
  Trust("known.pem", known.PublicPem());
  absl::Status status = Verify(image).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status));
  EXPECT_EQ(status.message(),
            absl::StrCat("the image is signed by ", ShortKeyId(image.keys[0].Id()),
                         ", which nobody trusts here; known (", ShortKeyId(known.Id()), ") is trusted"));
}

TEST_F(SignatureTest, AnotherManifestsSignature) {
  for (TestKey key : {TestKey::Ed25519(), TestKey::P256()}) {
    TestImage image = TestImage::Make();
    image.more_signatures = {key.Sign(image.ManifestBytes())};
    image.keys.clear();
    image.manifest.set_version("0.3.0");
    Trust("known.pem", key.PublicPem());
    absl::Status status = Verify(image).status();
    EXPECT_TRUE(absl::IsPermissionDenied(status));
    EXPECT_THAT(std::string(status.message()), HasSubstr("it was changed after it was signed"));
  }
}

// Every bit of what is signed, and of the signature, counts; none of them makes anything crash.
TEST_F(SignatureTest, EveryBitCounts) {
  for (TestKey key : {TestKey::Ed25519(), TestKey::P256()}) {
    TestImage image = TestImage::Make();
    image.keys = {key};
    Trust("known.pem", key.PublicPem());
    std::string bytes = image.HeaderBytes();
    ASSERT_TRUE(VerifyBytes(bytes).ok());
    int denied = 0;
    for (size_t at = 0; at < bytes.size(); ++at) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << at % 8));
      absl::Status status = VerifyBytes(flipped).status();
      ASSERT_TRUE(absl::IsPermissionDenied(status) || absl::IsInvalidArgument(status)) << at << status;
      denied += absl::IsPermissionDenied(status) ? 1 : 0;
    }
    EXPECT_GT(denied, 300);
  }
}

TEST_F(SignatureTest, FilesThatAreNoPublicKeys) {
  auto refused = [&](const std::string& pem) {
    Trust("known.pem", pem);
    absl::Status status = TrustedKeys::Load(directory_).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("known.pem: "));
    return std::string(status.message());
  };
  EXPECT_THAT(refused("nonsense"), HasSubstr("no PEM block"));
  EXPECT_THAT(refused(""), HasSubstr("no PEM block"));
  EXPECT_THAT(refused(TestKey::Ed25519().PrivatePem()), HasSubstr("a private key; "));
  EXPECT_THAT(refused(TestKey::P384().PublicPem()), HasSubstr("a key of another kind"));
  EXPECT_THAT(refused(TestKey::Ed25519().PublicPem() + TestKey::Ed25519().PublicPem()), HasSubstr("more than one key"));
  EXPECT_THAT(refused(std::string(20'000, 'x')), HasSubstr("larger than"));
}

TEST_F(SignatureTest, OnlyPemFilesAreRead) {
  Trust("README", "these are keys");
  EXPECT_TRUE(TrustedKeys::Load(directory_)->keys().empty());
  EXPECT_TRUE(absl::IsNotFound(TrustedKeys::Load(directory_ + "/nothing").status()));
}

}  // namespace
}  // namespace stele::image_file
