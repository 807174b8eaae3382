#include "machined/upgrade/esp.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "image_file/sha256.h"
#include "machined/upgrade/pe_image.h"
#include "machined/upgrade/uki_for_test.h"

namespace stele::machined {
namespace {

using Kind = BootEntry::Kind;
const std::string kHash(64, 'a');

class EspTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/esp.XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    std::filesystem::create_directories(folder());
    absl::StatusOr<Esp> esp = Esp::Open(root_);
    ASSERT_TRUE(esp.ok()) << esp.status();
    esp_ = std::make_unique<Esp>(*std::move(esp));
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  std::string folder() const { return root_ + "/EFI/Linux"; }
  void Put(const std::string& name, const std::string& content) { std::ofstream(folder() + "/" + name) << content; }
  bool Has(const std::string& name) { return std::filesystem::exists(folder() + "/" + name); }
  absl::Status Write(uint64_t number, const std::string& content) {
    ASSIGN_OR_RETURN(EspFile file, esp_->BeginWrite(number, content.size()));
    RETURN_IF_ERROR(file.Write(0, content));
    return file.Flush();
  }
  static ExpectedFile Of(const std::string& content) { return {content.size(), image_file::Sha256Of(content), kHash}; }

  std::string root_;
  std::unique_ptr<Esp> esp_;
};

TEST_F(EspTest, AnImageIsWrittenVerifiedActivatedAndBlessed) {
  std::string uki = MakeUki(kHash, 70'000);
  ASSERT_TRUE(Write(1, uki).ok());
  EXPECT_TRUE(Has("stele-1.new"));
  ASSERT_EQ(esp_->VerifyWritten(1, Of(uki)), absl::OkStatus());
  EXPECT_EQ(esp_->RootHashIn({1, Kind::kWritten}).value_or(""), kHash);
  ASSERT_EQ(esp_->Activate(1), absl::OkStatus());
  EXPECT_TRUE(Has("stele-1+3.efi"));
  EXPECT_FALSE(Has("stele-1.new"));
  ASSERT_EQ(esp_->Activate(1), absl::OkStatus()) << "a step that was cut is done again";
  ASSERT_EQ(esp_->Bless(1), absl::OkStatus());
  ASSERT_EQ(esp_->Bless(1), absl::OkStatus());
  EXPECT_TRUE(Has("stele-1.efi"));
  ASSERT_EQ(esp_->Retry({1, Kind::kGood}, 4), absl::OkStatus());
  ASSERT_EQ(esp_->MarkFailed(4), absl::OkStatus());
  EXPECT_TRUE(Has("stele-4+0-3.efi"));
  EXPECT_EQ(esp_->List()->size(), 1u);
}

TEST_F(EspTest, WhatIsNotWhatWasWrittenIsDataLoss) {
  std::string uki = MakeUki(kHash);
  ASSERT_TRUE(Write(1, uki).ok());
  std::string flipped = uki;
  flipped[2000] ^= 1;
  EXPECT_TRUE(absl::IsDataLoss(esp_->VerifyWritten(1, Of(flipped))));
  ExpectedFile longer = Of(uki);
  ++longer.size;
  EXPECT_TRUE(absl::IsDataLoss(esp_->VerifyWritten(1, longer)));
  ExpectedFile other = Of(uki);
  other.root_hash = std::string(64, 'b');
  EXPECT_TRUE(absl::IsDataLoss(esp_->VerifyWritten(1, other)));
}

TEST_F(EspTest, WhatWasComparedAlreadyIsHeldAgainstSizeAndRoot) {
  std::string uki = MakeUki(kHash);
  ASSERT_TRUE(Write(1, uki).ok());
  ExpectedFile compared = Of(uki);
  compared.sha256.reset();
  EXPECT_EQ(esp_->VerifyWritten(1, compared), absl::OkStatus());
  ExpectedFile longer = compared;
  ++longer.size;
  EXPECT_TRUE(absl::IsDataLoss(esp_->VerifyWritten(1, longer)));
  ExpectedFile other = compared;
  other.root_hash = std::string(64, 'b');
  EXPECT_TRUE(absl::IsDataLoss(esp_->VerifyWritten(1, other)));
  // A manifest without a hash is not one whose bytes were compared.
  ExpectedFile empty = Of(uki);
  empty.sha256 = "";
  EXPECT_TRUE(absl::IsDataLoss(esp_->VerifyWritten(1, empty)));
}

TEST_F(EspTest, AUkiWithoutItsSectionsIsRefused) {
  for (const char* missing : {".linux", ".initrd", ".cmdline", ".osrel"}) {
    std::vector<std::pair<std::string, std::string>> sections;
    for (const char* name : {".linux", ".initrd", ".cmdline", ".osrel"}) {
      if (std::string(name) != missing) sections.emplace_back(name, "stele.root=" + kHash + ":1:00");
    }
    std::string uki = MakePe(sections);
    ASSERT_TRUE(Write(2, uki).ok());
    EXPECT_TRUE(absl::IsDataLoss(esp_->VerifyWritten(2, Of(uki)))) << missing;
  }
  std::string text(5000, 'x');
  ASSERT_TRUE(Write(2, text).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(esp_->VerifyWritten(2, Of(text))));
}

TEST_F(EspTest, AShorterImageReplacesWhatACutLeft) {
  ASSERT_TRUE(Write(1, MakeUki(kHash, 90'000)).ok());
  std::string uki = MakeUki(kHash);
  ASSERT_TRUE(Write(1, uki).ok());
  EXPECT_EQ(esp_->VerifyWritten(1, Of(uki)), absl::OkStatus());
}

TEST_F(EspTest, NothingIsWrittenOver) {
  Put("stele-1.new", "new");
  Put("stele-1+3.efi", "old");
  EXPECT_FALSE(esp_->Activate(1).ok());
  Put("stele-1.efi", "good");
  EXPECT_TRUE(Has("stele-1+3.efi"));
  EXPECT_TRUE(Has("stele-1.new"));
  EXPECT_TRUE(absl::IsNotFound(esp_->Bless(9)));
  EXPECT_TRUE(absl::IsNotFound(esp_->Activate(9)));
}

TEST_F(EspTest, OneOfTwoNamesOfTheSameDataIsNotUnlinked) {
  Put("stele-1.new", "data");
  ASSERT_EQ(::link((folder() + "/stele-1.new").c_str(), (folder() + "/stele-1+3.efi").c_str()), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(esp_->Remove({1, Kind::kWritten})));
  EXPECT_TRUE(absl::IsFailedPrecondition(esp_->BeginWrite(1, 100).status()));
  EXPECT_TRUE(Has("stele-1.new"));
  Put("stele-2.new", "data");
  EXPECT_EQ(esp_->Remove({2, Kind::kWritten}), absl::OkStatus());
  EXPECT_EQ(esp_->Remove({2, Kind::kWritten}), absl::OkStatus());
  EXPECT_FALSE(Has("stele-2.new"));
}

TEST_F(EspTest, TwoNamesOfTheSameDataAreSetAside) {
  Put("stele-1+1-2.efi", "data");
  ASSERT_EQ(::link((folder() + "/stele-1+1-2.efi").c_str(), (folder() + "/stele-1+2-1.efi").c_str()), 0);
  for (uint32_t left : {1, 2}) {
    BootEntry entry = {.number = 1, .kind = Kind::kCounted, .left = left, .done = 3 - left};
    EXPECT_TRUE(absl::IsFailedPrecondition(esp_->Remove(entry)));
    EXPECT_EQ(esp_->SetAside(entry), absl::OkStatus());
  }
  EXPECT_TRUE(Has("stele-1+1-2.twin"));
  EXPECT_TRUE(Has("stele-1+2-1.twin"));
  EXPECT_EQ(esp_->List()->size(), 0u);
}

TEST_F(EspTest, ABlessingThatWasCutBetweenTheTwoNamesIsEnded) {
  Put("stele-4.efi", MakeUki(kHash));
  ASSERT_EQ(::link((folder() + "/stele-4.efi").c_str(), (folder() + "/stele-4+2-1.efi").c_str()), 0);
  EXPECT_EQ(esp_->Bless(4), absl::OkStatus());
  EXPECT_TRUE(Has("stele-4.efi"));
  EXPECT_FALSE(Has("stele-4+2-1.efi"));
  EXPECT_EQ(esp_->Bless(4), absl::OkStatus());
  // Never one whose other name is not the same image.
  Put("stele-5+2-1.efi", MakeUki(kHash));
  Put("stele-5.efi", MakeUki(std::string(64, 'b')));
  EXPECT_TRUE(absl::IsAlreadyExists(esp_->Bless(5)));
  EXPECT_TRUE(Has("stele-5+2-1.efi"));
}

TEST_F(EspTest, OnlyOursAreListed) {
  Put("linux.efi", "x");
  Put("stele-5+0-3.efi", "x");
  std::filesystem::create_directory(folder() + "/stele-6.efi");
  std::vector<BootEntry> entries = *esp_->List();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_TRUE(entries[0].failed());
  EXPECT_TRUE(absl::IsNotFound(Esp::Open(root_ + "/none").status()));
}

TEST_F(EspTest, MoreThanTheDiskHoldsIsResourceExhausted) {
  absl::StatusOr<EspFile> file = esp_->BeginWrite(1, uint64_t{1} << 50);
  EXPECT_FALSE(file.ok());
  EXPECT_FALSE(Has("stele-1.efi"));
}

TEST(PeImage, NoCutOrFlippedHeaderIsReadPastItsEnd) {
  std::string uki = MakeUki(kHash);
  ASSERT_TRUE(ReadPeSections(uki, uki.size()).ok());
  for (size_t size = 0; size < 500; ++size) {
    absl::StatusOr<std::map<std::string, PeSection>> sections =
        ReadPeSections(absl::string_view(uki).substr(0, size), size);
    EXPECT_FALSE(sections.ok()) << size;
  }
  for (size_t at = 0; at < 400; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = uki;
      bad[at] ^= static_cast<char>(1 << bit);
      absl::StatusOr<std::map<std::string, PeSection>> sections = ReadPeSections(bad, bad.size());
      if (!sections.ok()) continue;
      for (const auto& [name, section] : *sections) EXPECT_LE(section.offset + section.size, bad.size());
    }
  }
}

TEST(PeImage, TheRootIsOnTheCommandLine) {
  EXPECT_EQ(RootHashOf("a=b stele.root=abc:5:00 c"), "abc");
  EXPECT_EQ(RootHashOf(absl::string_view("stele.root=abc:5:00\n\0\0", 22)), "abc");
  EXPECT_EQ(RootHashOf("xstele.root=abc"), "");
}

}  // namespace
}  // namespace stele::machined
