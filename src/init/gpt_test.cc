#include "init/gpt.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "base/crc32.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace stele::init {
namespace {

constexpr char kFirst[] = "57e1e000-0000-4000-8000-000000000001";
constexpr char kSecond[] = "0badc0de-1234-4567-89ab-cdef01234567";
constexpr uint64_t kSize = 64 << 20;

// A disk as sfdisk makes it, in a file.
class Gpt : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    char name[] = "/tmp/gpt-test-XXXXXX.img";  // a digit at its end would become one of the partition's number
    disk_ = UniqueFd(::mkostemps(name, 4, O_CLOEXEC));
    ASSERT_TRUE(disk_.ok());
    path_ = name;
    ASSERT_EQ(::ftruncate(disk_.get(), kSize), 0);
    std::string table =
        absl::StrCat("label: gpt\nfirst-lba: 512\n", "start=1024, size=512, uuid=", kFirst, ", name=ESP\n", path_,
                     "5 : start=2048, size=512, uuid=", kSecond, ", name=STELE-ROOT-A\n");
    std::ofstream(path_ + ".table") << table;
    // sfdisk takes the sector size from the device alone; fdisk reads the same script and can be told.
    std::string command =
        GetParam() == 512
            ? absl::StrCat("PATH=$PATH:/sbin sfdisk -q --no-reread --no-tell-kernel ", path_, " < ", path_, ".table")
            : absl::StrCat("printf 'I\\n", path_, ".table\\nw\\n' | PATH=$PATH:/sbin fdisk -b ", GetParam(), " ", path_,
                           " >/dev/null");
    ASSERT_EQ(::system(command.c_str()), 0) << "sfdisk or fdisk, of Debian's package fdisk";
  }
  void TearDown() override {
    ::unlink(path_.c_str());
    ::unlink((path_ + ".table").c_str());
  }
  void Flip(uint64_t offset) {
    char byte;
    ASSERT_EQ(::pread(disk_.get(), &byte, 1, offset), 1);
    byte ^= 1;
    ASSERT_EQ(::pwrite(disk_.get(), &byte, 1, offset), 1);
  }
  absl::StatusOr<std::vector<GptPartition>> Read() { return ReadGpt(disk_.get(), GetParam(), kSize); }
  void ExpectTable() {
    absl::StatusOr<std::vector<GptPartition>> table = Read();
    ASSERT_TRUE(table.ok()) << table.status();
    ASSERT_EQ(table->size(), 2u);
    EXPECT_EQ((*table)[0].number, 1u);
    EXPECT_EQ((*table)[0].uuid, kFirst);
    EXPECT_EQ((*table)[1].number, 5u);
    EXPECT_EQ((*table)[1].uuid, kSecond);
  }

  UniqueFd disk_;
  std::string path_;
};

TEST_P(Gpt, ReadsWhatSfdiskWrote) { ExpectTable(); }

TEST_P(Gpt, TakesTheSecondTableWhenTheFirstIsBroken) {
  Flip(GetParam() + 56);  // the disk's GUID in the header
  ExpectTable();
  Flip(2 * GetParam() + 20);  // and in the table itself
  ExpectTable();
}

TEST_P(Gpt, RefusesWhenBothAreBroken) {
  uint64_t last = kSize - GetParam();
  for (uint64_t offset : {uint64_t{80}, uint64_t{84}, uint64_t{72}, uint64_t{12}, uint64_t{24}}) {
    Flip(GetParam() + offset);
    Flip(last + offset);
    EXPECT_EQ(Read().status().code(), absl::StatusCode::kDataLoss) << offset;
    Flip(GetParam() + offset);
    Flip(last + offset);
  }
  ExpectTable();
}

TEST_P(Gpt, OtherSectorsAndOtherDisksHaveNone) {
  EXPECT_EQ(ReadGpt(disk_.get(), GetParam() == 512 ? 4096 : 512, kSize).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadGpt(disk_.get(), 0, kSize).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadGpt(disk_.get(), 1536, kSize).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(ReadGpt(disk_.get(), GetParam(), 0).ok());
  UniqueFd empty(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(ReadGpt(empty.get(), GetParam(), kSize).ok());
}

// Whatever the bytes of the header are: with a checksum that fits, the bounds alone must hold.
TEST_P(Gpt, AnyHeaderWithAGoodChecksumKeepsTheBounds) {
  std::string header(GetParam(), '\0');
  ASSERT_EQ(::pread(disk_.get(), header.data(), header.size(), GetParam()), static_cast<ssize_t>(header.size()));
  for (size_t field : {12u, 72u, 80u, 84u}) {
    for (uint32_t value : {0u, 1u, 92u, 4096u, 0x7fffffffu, 0xffffffffu}) {
      std::string changed = header;
      for (size_t i = 0; i < 4; ++i) changed[field + i] = static_cast<char>(value >> 8 * i);
      changed.replace(16, 4, 4, '\0');
      uint32_t crc = Crc32(changed.substr(0, 92));
      for (size_t i = 0; i < 4; ++i) changed[16 + i] = static_cast<char>(crc >> 8 * i);
      ASSERT_EQ(::pwrite(disk_.get(), changed.data(), changed.size(), GetParam()),
                static_cast<ssize_t>(changed.size()));
      ExpectTable();  // the one at the end
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sectors, Gpt, testing::Values(512u, 4096u));

}  // namespace
}  // namespace stele::init
