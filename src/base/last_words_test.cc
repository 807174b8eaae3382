#include "base/last_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"

namespace stele {
namespace {

using testing::EndsWith;
using testing::StartsWith;

const LastWords kWords = {std::string(64, 'a'), "\\EFI\\Linux\\stele-7+0-3.efi",
                          "machined ended 10 times; its log:\nfail"};

TEST(LastWords, AreASectorAndComeBack) {
  std::string sector = FormatLastWords(kWords);
  EXPECT_EQ(sector.size(), kLastWordsSize);
  absl::StatusOr<LastWords> read = ParseLastWords(sector);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->root_hash, kWords.root_hash);
  EXPECT_EQ(read->entry, kWords.entry);
  EXPECT_EQ(read->text, kWords.text);
}

TEST(LastWords, KeepWhyAndTheNewestOfALongLog) {
  LastWords words = kWords;
  words.text = "why\n" + std::string(2000, 'x') + "\nnewest";
  std::string sector = FormatLastWords(words);
  EXPECT_EQ(sector.size(), kLastWordsSize);
  EXPECT_THAT(ParseLastWords(sector)->text, testing::AllOf(StartsWith("why\n...x"), EndsWith("x\nnewest")));
  words.text = std::string(2000, 'x');  // no line's end anywhere
  EXPECT_EQ(FormatLastWords(words).size(), kLastWordsSize);
}

TEST(LastWords, AreNotFoundInWhatIsSomethingElse) {
  for (const std::string& sector :
       {std::string(), std::string(kLastWordsSize, '\0'), std::string(kLastWordsSize, 'x'),
        "STELE-LAST-WORDS\n" + std::string(kLastWordsSize, 'x'), FormatLastWords(kWords).substr(0, 511)})
    EXPECT_TRUE(absl::IsNotFound(ParseLastWords(sector).status()));
  std::string sector = FormatLastWords(kWords);
  sector[sector.find("fail")] = '\x1b';
  EXPECT_THAT(ParseLastWords(sector)->text, EndsWith("\n?ail"));
}

TEST(LastWords, LieOnTheDiskBehindTheNotes) {
  std::string disk = testing::TempDir() + "/last_words_disk";
  ASSERT_TRUE(ReplaceFile(disk, std::string(1 << 20, 'd')).ok());
  EXPECT_TRUE(absl::IsNotFound(ReadLastWords(disk).status()));
  ASSERT_TRUE(WriteLastWords(disk, kWords).ok());
  EXPECT_EQ(ReadLastWords(disk)->text, kWords.text);
  std::string whole = *ReadFile(disk, 2 << 20);
  EXPECT_EQ(whole.substr(0, kLastWordsOffset), std::string(kLastWordsOffset, 'd'));
  EXPECT_EQ(whole.substr(kLastWordsOffset + kLastWordsSize),
            std::string((1 << 20) - kLastWordsOffset - kLastWordsSize, 'd'));
  ::unlink(disk.c_str());
}

TEST(WholeDisk, IsThePartitionsParentInSysfs) {
  std::string sys = testing::TempDir() + "/whole_disk_sys";
  ASSERT_TRUE(MakeDirectories(sys + "/devices/nvme0n1/nvme0n1p2").ok());
  ASSERT_TRUE(MakeDirectories(sys + "/class").ok());
  ASSERT_TRUE(ReplaceFile(sys + "/devices/nvme0n1/nvme0n1p2/partition", "2\n").ok());
  for (const char* name : {"nvme0n1", "nvme0n1p2"}) {
    std::string target = absl::StrCat("../devices/nvme0n1/", std::string(name) == "nvme0n1" ? "" : name);
    (void)!::symlink(target.c_str(), absl::StrCat(sys, "/class/", name).c_str());
  }
  EXPECT_EQ(WholeDiskOf("/dev/nvme0n1p2", sys + "/class").value_or(""), "/dev/nvme0n1");
  EXPECT_TRUE(absl::IsNotFound(WholeDiskOf("/dev/nvme0n1", sys + "/class").status()));
  EXPECT_TRUE(absl::IsNotFound(WholeDiskOf("/dev/gone", sys + "/class").status()));
}

}  // namespace
}  // namespace stele
