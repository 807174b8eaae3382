#include "machined/store.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stele/resource/v1/network.pb.h"
#include "stele/resource/v1/node.pb.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {
namespace {

using resource::v1::Hostname;
using resource::v1::Mount;

Mount MountAt(const std::string& target) {
  Mount mount;
  mount.set_target(target);
  return mount;
}

TEST(Store, PutTellsSubscribersOnlyOfChanges) {
  Store store;
  std::vector<std::string> seen;
  store.Subscribe("mounts",
                  [&](const Change& change) { seen.push_back(change.resource->id + (change.removed ? "-" : "+")); });
  EXPECT_TRUE(store.Put("mounts", "1", MountAt("/")).ok());
  uint64_t version = store.Get("mounts", "1")->version;
  EXPECT_TRUE(store.Put("mounts", "1", MountAt("/")).ok());
  EXPECT_EQ(store.Get("mounts", "1")->version, version);
  EXPECT_TRUE(store.Put("mounts", "1", MountAt("/var")).ok());
  EXPECT_GT(store.Get("mounts", "1")->version, version);
  store.Remove("mounts", "mounts", "1");
  EXPECT_THAT(seen, testing::ElementsAre("1+", "1+", "1-"));
}

TEST(Store, OneOwnerPerResource) {
  Store store;
  ASSERT_TRUE(store.Put("dhcp", "hostname", Hostname()).ok());
  absl::Status other = store.Put("config", "hostname", Hostname());
  EXPECT_EQ(other.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(other.message()), testing::HasSubstr("dhcp"));
  store.Remove("config", "hostnames", "hostname");
  EXPECT_NE(store.Get("hostnames", "hostname"), nullptr);
}

TEST(Store, ReplaceRemovesWhatIsNoLongerWantedButNotWhatOthersWrote) {
  Store store;
  ASSERT_TRUE(store.Put("other", "9", MountAt("/other")).ok());
  ASSERT_TRUE(store.Replace<Mount>("mine", {{"1", MountAt("/a")}, {"2", MountAt("/b")}}).ok());
  ASSERT_TRUE(store.Replace<Mount>("mine", {{"2", MountAt("/b")}, {"3", MountAt("/c")}}).ok());
  std::map<std::string, Mount> all = store.All<Mount>();
  EXPECT_EQ(all.size(), 3u);
  EXPECT_EQ(all.count("1"), 0u);
  EXPECT_EQ(store.Find<Mount>("9")->target(), "/other");
}

TEST(Store, UpdateKeepsTheTimeOfCreation) {
  Store store;
  ASSERT_TRUE(store.Put("m", "1", MountAt("/a")).ok());
  absl::Time created = store.Get("mounts", "1")->created;
  ASSERT_TRUE(store.Put("m", "1", MountAt("/b")).ok());
  EXPECT_EQ(store.Get("mounts", "1")->created, created);
  EXPECT_GE(store.Get("mounts", "1")->updated, created);
}

TEST(Store, SubscriberMayUnsubscribeItselfAndOthersWhileTold) {
  Store store;
  int told = 0;
  Store::SubscriptionId second = 0;
  Store::SubscriptionId first = store.Subscribe("mounts", [&](const Change&) {
    ++told;
    store.Unsubscribe(second);
    store.Unsubscribe(first);
  });
  second = store.Subscribe("mounts", [&](const Change&) { ++told; });
  ASSERT_TRUE(store.Put("m", "1", MountAt("/a")).ok());
  ASSERT_TRUE(store.Put("m", "1", MountAt("/b")).ok());
  EXPECT_EQ(told, 1);
}

TEST(Store, WhoWritesWhileToldMakesNobodyHearOfTheLaterFirst) {
  Store store;
  std::vector<uint64_t> heard;
  store.Subscribe("mounts", [&](const Change& change) {
    if (change.resource->id != "1") return;
    ASSERT_TRUE(store.Put("m", "2", MountAt("/b")).ok());
  });
  store.Subscribe("mounts", [&](const Change& change) { heard.push_back(change.version); });
  ASSERT_TRUE(store.Put("m", "1", MountAt("/a")).ok());
  EXPECT_THAT(heard, testing::ElementsAre(1, 2));
}

TEST(Store, RemembersItsLastChanges) {
  Store store;
  ASSERT_TRUE(store.Put("m", "1", MountAt("/a")).ok());
  uint64_t begin = store.version();
  ASSERT_TRUE(store.Put("m", "1", MountAt("/b")).ok());
  ASSERT_TRUE(store.Put("m", "hostname", Hostname()).ok());  // of another type
  store.Remove("m", "mounts", "1");
  auto changes = store.ChangesAfter("mounts", begin);
  ASSERT_TRUE(changes.has_value());
  ASSERT_EQ(changes->size(), 2u);
  EXPECT_EQ(static_cast<const Mount&>(*(*changes)[0].before->body).target(), "/a");
  EXPECT_TRUE((*changes)[1].removed);
  EXPECT_EQ((*changes)[1].version, store.version());
  EXPECT_EQ(store.ChangesAfter("mounts", store.version())->size(), 0u);
  EXPECT_FALSE(store.ChangesAfter("mounts", store.version() + 1).has_value());
  EXPECT_EQ(store.ChangesAfter("mounts", 0)->size(), 3u);
  for (size_t i = 0; i < Store::kRemembered; ++i) ASSERT_TRUE(store.Put("m", "9", MountAt(absl::StrCat(i))).ok());
  EXPECT_FALSE(store.ChangesAfter("mounts", begin).has_value());
  EXPECT_EQ(store.ChangesAfter("mounts", store.version() - Store::kRemembered)->size(), Store::kRemembered);
}

TEST(Store, AMapInAnotherOrderIsNoChange) {
  Store store;
  resource::v1::Pod one, two;
  for (int i = 0; i < 50; ++i) (*one.mutable_labels())[absl::StrCat(i)] = "x";
  for (int i = 49; i >= 0; --i) (*two.mutable_labels())[absl::StrCat(i)] = "x";
  ASSERT_TRUE(store.Put("m", "1", one).ok());
  uint64_t version = store.version();
  ASSERT_TRUE(store.Put("m", "1", two).ok());
  EXPECT_EQ(store.version(), version);
}

TEST(Store, KnowsTheTypesOfTheProtosAndNoOthers) {
  Store store;
  for (const char* type : {"services", "phases", "processes", "mounts", "addresses", "containers", "pods"}) {
    EXPECT_TRUE(store.KnowsType(type)) << type;
  }
  EXPECT_FALSE(store.KnowsType("unicorns"));
  EXPECT_TRUE(store.List("unicorns").empty());
}

}  // namespace
}  // namespace stele::machined
