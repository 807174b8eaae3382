#include "machined/upgrade/drain.h"

#include "gtest/gtest.h"
#include "machined/runtime.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {
namespace {

TEST(Drain, WaitsForPodsThatSomebodyCanMove) {
  std::unique_ptr<OwnerLoop> loop = *OwnerLoop::Create();
  Store store;
  EventLog events("/nonexistent/events");
  Runtime runtime(*loop, store, events);
  auto put = [&store](const std::string& name, const std::string& state, bool from_file) {
    resource::v1::Pod pod;
    pod.set_state(state);
    pod.set_from_file(from_file);
    ASSERT_TRUE(store.Put("test", name, pod).ok());
  };
  EXPECT_EQ(PodsHaveLeft(runtime).waits_for, "containerd to say which pods run");
  ASSERT_TRUE(store.Put("test", "pause", resource::v1::Image()).ok());
  EXPECT_TRUE(PodsHaveLeft(runtime).done);
  put("default/static-node", "Running", true);
  put("default/gone", "NotReady", false);
  EXPECT_TRUE(PodsHaveLeft(runtime).done);
  put("default/a", "Running", false);
  put("default/b", "Waiting", false);
  DrainCheck check = PodsHaveLeft(runtime);
  EXPECT_FALSE(check.done);
  EXPECT_EQ(check.waits_for, "pods default/a, default/b to leave");
  for (const char* name : {"default/c", "default/d", "default/e", "default/f", "default/g"})
    put(name, "Running", false);
  EXPECT_EQ(PodsHaveLeft(runtime).waits_for,
            "pods default/a, default/b, default/c, default/d, default/e and 2 more to leave");
}

}  // namespace
}  // namespace stele::machined
