#include "machined/upgrade/boot_entry.h"

#include <gtest/gtest.h>

namespace stele::machined {
namespace {

using Kind = BootEntry::Kind;

TEST(BootEntry, NamesAreReadAndMade) {
  struct Case {
    const char* name;
    BootEntry entry;
  };
  for (const Case& c : {Case{"stele-1.efi", {1, Kind::kGood}}, Case{"stele-12+3.efi", {12, Kind::kCounted, 3}},
                        Case{"stele-7+1-2.efi", {7, Kind::kCounted, 1, 2}},
                        Case{"stele-7+0-3.efi", {7, Kind::kCounted, 0, 3}}, Case{"stele-3.new", {3, Kind::kWritten}}}) {
    std::optional<BootEntry> entry = ParseBootEntry(c.name);
    ASSERT_TRUE(entry.has_value()) << c.name;
    EXPECT_EQ(*entry, c.entry) << c.name;
    EXPECT_EQ(FileName(c.entry), c.name);
  }
}

TEST(BootEntry, WhatIsNotOursIsNothing) {
  for (const char* name :
       {"", "stele-", "stele-.efi", "stele-0.efi", "stele-01.efi", "stele-1", "stele-1.EFI", "stele-1+.efi",
        "stele-1+3-.efi", "stele-1+3-1", "stele-1+a.efi", "stele-1.efi.new", "stele-1+3.new", "Stele-1.efi",
        "stele-1234567890.efi", "linux.efi", "stele--1.efi", "stele-1 .efi", "stele-1+03.efi"}) {
    EXPECT_FALSE(ParseBootEntry(name).has_value()) << name;
  }
}

TEST(BootEntry, TheLoaderTakesTheHighestThatHasTries) {
  std::vector<BootEntry> entries = {
      {3, Kind::kGood}, {10, Kind::kCounted, 0, 3}, {4, Kind::kCounted, 2, 1}, {11, Kind::kWritten}};
  std::vector<BootEntry> ordered = InLoaderOrder(entries);
  ASSERT_EQ(ordered.size(), 3u);
  EXPECT_EQ(ordered[0].number, 4u);
  EXPECT_EQ(ordered[1].number, 3u);
  EXPECT_EQ(ordered[2].number, 10u);
  EXPECT_EQ(NextBoot(entries)->number, 4u);
  EXPECT_EQ(NextNumber(entries), 12u);
  EXPECT_FALSE(NextBoot({{1, Kind::kWritten}}).has_value());
  EXPECT_EQ(NextNumber({}), 1u);
}

TEST(BootEntry, OfTwoNamesOfOneNumberTheOneWithMoreTriesIsFirst) {
  BootEntry fresh = {5, Kind::kCounted, 3}, tried = {5, Kind::kCounted, 2, 1}, twice = {5, Kind::kCounted, 2, 2};
  EXPECT_TRUE(LoaderPrefers(fresh, tried));
  EXPECT_TRUE(LoaderPrefers(tried, twice));
  EXPECT_FALSE(LoaderPrefers(tried, fresh));
}

TEST(BootEntry, TheLoadersPathNamesTheNumber) {
  EXPECT_EQ(NumberInLoaderPath("\\EFI\\Linux\\stele-7+2-1.efi"), 7u);
  EXPECT_EQ(NumberInLoaderPath("/EFI/Linux/stele-7.efi"), 7u);
  EXPECT_EQ(NumberInLoaderPath("\\EFI\\Linux\\other.efi"), 0u);
  EXPECT_EQ(NumberInLoaderPath(""), 0u);
}

}  // namespace
}  // namespace stele::machined
