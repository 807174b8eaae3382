#include "init/backoff.h"

#include "gtest/gtest.h"

namespace stele::init {
namespace {

TEST(Backoff, DoublesUpToTheLongestWithinATenth) {
  for (uint32_t random : {0u, 1u, 12345u, UINT32_MAX}) {
    Backoff backoff;
    uint64_t nominal = 100;
    for (int end = 0; end < 40; ++end) {
      uint64_t wait = backoff.NextMs(/*up_ms=*/5, 30'000, random);
      EXPECT_GE(wait, nominal * 9 / 10);
      EXPECT_LE(wait, nominal * 11 / 10);
      nominal = nominal * 2 > 30'000 ? 30'000 : nominal * 2;
    }
  }
}

TEST(Backoff, FortyStartsInTenMinutesAtMost) {
  Backoff backoff;
  uint64_t time = 0;
  int starts = 0;
  for (; time < 600'000; ++starts) time += backoff.NextMs(0, 30'000, 0);
  EXPECT_LE(starts, 40);
}

TEST(Backoff, AMinuteUpForgives) {
  Backoff backoff;
  for (int end = 0; end < 10; ++end) backoff.NextMs(0, 30'000, 0);
  EXPECT_GE(backoff.NextMs(59'999, 30'000, 0), 27'000u);
  EXPECT_LE(backoff.NextMs(60'000, 30'000, 0), 110u);
  EXPECT_LE(backoff.NextMs(0, 30'000, 0), 220u);
}

TEST(Backoff, DaemonsAreBackSoon) {
  Backoff backoff;
  for (int end = 0; end < 100; ++end) EXPECT_LE(backoff.NextMs(10, 500, UINT32_MAX), 550u);
}

}  // namespace
}  // namespace stele::init
