#include "apid/grpc_wire.h"

#include <gtest/gtest.h>

namespace stele {
namespace {

std::string Framed(size_t size) {
  std::string out = {'\0', static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8),
                     static_cast<char>(size)};
  return out + std::string(size, 'x');
}

TEST(MessageMeterTest, TakesMessagesCutAnywhere) {
  std::string stream = Framed(0) + Framed(10) + Framed(7) + Framed(0) + Framed(10);
  for (size_t step = 1; step <= stream.size(); ++step) {
    MessageMeter meter(10);
    for (size_t at = 0; at < stream.size(); at += step) {
      std::string piece = stream.substr(at, step);
      ASSERT_TRUE(meter.Feed(reinterpret_cast<const uint8_t*>(piece.data()), piece.size()).ok()) << step << " " << at;
    }
  }
}

TEST(MessageMeterTest, StopsTheFirstTooLongOne) {
  std::string stream = Framed(10) + Framed(11);
  for (size_t step = 1; step <= stream.size(); ++step) {
    MessageMeter meter(10);
    absl::Status status;
    for (size_t at = 0; at < stream.size() && status.ok(); at += step) {
      std::string piece = stream.substr(at, step);
      status = meter.Feed(reinterpret_cast<const uint8_t*>(piece.data()), piece.size());
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << step;
  }
}

TEST(MessageMeterTest, ALengthOf4GiBIsNotNegative) {
  const uint8_t prefix[] = {0, 0xff, 0xff, 0xff, 0xff};
  EXPECT_FALSE(MessageMeter(1 << 20).Feed(prefix, sizeof prefix).ok());
}

TEST(PercentEncodeTest, LeavesPrintableAsciiOnly) {
  EXPECT_EQ(PercentEncode("plain text ~"), "plain text ~");
  EXPECT_EQ(PercentEncode("100 %\n\xc3\xb6"), "100 %25%0A%C3%B6");
  EXPECT_EQ(PercentEncode(absl::string_view("\0\x7f", 2)), "%00%7F");
}

TEST(StatusNameTest, KnowsEveryCodeAndNoOther) {
  EXPECT_EQ(StatusName("0"), "OK");
  EXPECT_EQ(StatusName("16"), "UNAUTHENTICATED");
  for (const char* other : {"", "17", "-1", "x", "99999999999"}) EXPECT_EQ(StatusName(other), "UNKNOWN") << other;
}

}  // namespace
}  // namespace stele
