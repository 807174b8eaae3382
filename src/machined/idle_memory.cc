#include "machined/idle_memory.h"

#include "base/idle_pages.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kFirst = absl::Seconds(20);  // the start's work is done
constexpr absl::Duration kPause = absl::Seconds(3);

void Release(OwnerLoop& loop) {
  GiveIdlePagesBack();
  loop.After(kPause, [&loop] { Release(loop); });
}

}  // namespace

void ReleaseIdleMemory(OwnerLoop& loop) {
  loop.After(kFirst, [&loop] { Release(loop); });
}

}  // namespace stele::machined
