#include "machined/security/revocation_list.h"

#include <gtest/gtest.h>

#include "absl/strings/str_format.h"

namespace stele::machined {
namespace {

TEST(CanonicalSerial, IsAsApidWritesIt) {
  EXPECT_EQ(*CanonicalSerial("00:Ab:0C"), "ab0c");
  EXPECT_EQ(*CanonicalSerial("1"), "1");
  EXPECT_EQ(*CanonicalSerial(std::string(42, 'f')), std::string(42, 'f'));
  for (const std::string& bad :
       {std::string(), std::string("0"), std::string("::"), std::string("0x1"), std::string("g"), std::string("1 "),
        std::string("-1"), std::string(43, 'f'), std::string("1\n2"), std::string("1\0", 2)}) {
    EXPECT_EQ(CanonicalSerial(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(RevocationList, ComesBackAsItWasWritten) {
  RevocationList list;
  absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  ASSERT_TRUE(list.Add("ab", {now, now + absl::Hours(1), "ali\tce\nx", "lost \\ laptop", "root (admin)"}, now).ok());
  ASSERT_TRUE(list.Add("cd", {.revoked = now}, now).ok());
  EXPECT_EQ(list.Add("ab", {.revoked = now}, now).code(), absl::StatusCode::kAlreadyExists);
  size_t passed_over = 9;
  RevocationList read = RevocationList::Parse(list.File(), &passed_over);
  EXPECT_EQ(passed_over, 0u);
  EXPECT_EQ(read.File(), list.File());
  EXPECT_EQ(read.all().at("ab").subject, "ali\tce\nx");
  EXPECT_EQ(read.all().at("ab").not_after, now + absl::Hours(1));
  EXPECT_EQ(read.all().at("cd").not_after, absl::InfiniteFuture());
  EXPECT_EQ(read.Serials(), "ab\ncd\n");
}

TEST(RevocationList, LinesThatAreDamagedLeaveTheOthersAndRevokeWhatTheyCan) {
  size_t passed_over = 0;
  RevocationList list = RevocationList::Parse("ab\t1\t0\ta\tb\tc\nzz\t1\ncd\nef\tx\ty\t\\q\n", &passed_over);
  EXPECT_EQ(passed_over, 1u);
  EXPECT_EQ(list.Serials(), "ab\ncd\nef\n");
}

TEST(RevocationList, IsBoundedAndForgetsOnlyWhatHasEndedAndOnlyWhenFull) {
  RevocationList list;
  absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  for (size_t i = 0; i < RevocationList::kMost; ++i) {
    absl::Time not_after = i == 7 ? now - absl::Hours(1) : i == 8 ? absl::InfiniteFuture() : now + absl::Hours(1);
    ASSERT_TRUE(list.Add(absl::StrFormat("%x", i + 1), {.revoked = now, .not_after = not_after}, now).ok());
  }
  ASSERT_TRUE(list.Add("aaaaaa", {.revoked = now}, now).ok()) << "in the place of the one that has ended";
  EXPECT_EQ(list.all().count("8"), 0u);
  EXPECT_EQ(list.all().count("9"), 1u) << "nobody knows when this one ends";
  EXPECT_EQ(list.Add("bbbbbb", {.revoked = now}, now).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(list.all().size(), RevocationList::kMost);
}

TEST(RevocationList, MergeAddsWhatIsMissing) {
  RevocationList a, b;
  absl::Time now = absl::Now();
  ASSERT_TRUE(a.Add("1", {.revoked = now, .subject = "first"}, now).ok());
  ASSERT_TRUE(b.Add("1", {.revoked = now, .subject = "second"}, now).ok());
  ASSERT_TRUE(b.Add("2", {.revoked = now}, now).ok());
  EXPECT_TRUE(a.Merge(b));
  EXPECT_FALSE(a.Merge(b));
  EXPECT_EQ(a.all().size(), 2u);
  EXPECT_EQ(a.all().at("1").subject, "first");
}

}  // namespace
}  // namespace stele::machined
