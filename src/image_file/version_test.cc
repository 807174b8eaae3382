#include "image_file/version.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stele::image_file {
namespace {

TEST(Version, IsReadAndWritten) {
  for (const char* text : {"0.0.0", "1.20.300", "1.2.3-rc.1", "0.1.0-alpha-2.x", "999999999.0.0", "1.0.0-0"}) {
    absl::StatusOr<Version> version = ParseVersion(text);
    ASSERT_TRUE(version.ok()) << version.status();
    EXPECT_EQ(version->Text(), text);
  }
}

TEST(Version, OtherTextsAreRefused) {
  for (absl::string_view text :
       {absl::string_view(""), absl::string_view("1"), absl::string_view("1.2"), absl::string_view("1.2.3.4"),
        absl::string_view("v1.2.3"), absl::string_view("1.2.03"), absl::string_view("1.2.-3"),
        absl::string_view("1.2.3-"), absl::string_view("1.2.3-a..b"), absl::string_view("1.2.3-01"),
        absl::string_view("1.2.3-a_b"), absl::string_view("1.2.3+build"), absl::string_view("1.2.4294967296"),
        absl::string_view(" 1.2.3"), absl::string_view("1.2.3\n"), absl::string_view("1.2.3\0", 6),
        absl::string_view("../..")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseVersion(text).status())) << text;
  }
  EXPECT_FALSE(ParseVersion(std::string("1.2.3-") + std::string(100, 'a')).ok());
  EXPECT_THAT(std::string(ParseVersion("1\x1b[2J").status().message()), testing::HasSubstr("'1?[2J' is no version"));
}

// The order of semver.org's own example, and of numbers.
TEST(Version, HaveTheOrderOfSemanticVersions) {
  const std::vector<std::string> order = {"0.9.9",
                                          "1.0.0-alpha",
                                          "1.0.0-alpha.1",
                                          "1.0.0-alpha.beta",
                                          "1.0.0-beta",
                                          "1.0.0-beta.2",
                                          "1.0.0-beta.11",
                                          "1.0.0-rc.1",
                                          "1.0.0-rc.99999999999999999999",
                                          "1.0.0-rc.100000000000000000000",
                                          "1.0.0",
                                          "1.0.1-0",
                                          "1.0.1",
                                          "1.2.0",
                                          "1.10.0",
                                          "2.0.0",
                                          "10.0.0"};
  for (size_t i = 0; i < order.size(); ++i) {
    for (size_t j = 0; j < order.size(); ++j) {
      int expected = i < j ? -1 : i > j ? 1 : 0;
      EXPECT_EQ(CompareVersions(*ParseVersion(order[i]), *ParseVersion(order[j])), expected)
          << order[i] << " " << order[j];
    }
  }
}

}  // namespace
}  // namespace stele::image_file
