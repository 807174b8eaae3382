#include "machined/label_selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stele/resource/v1/node.pb.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {
namespace {

using testing::HasSubstr;

TEST(LabelSelector, FitsAsKubectlHasIt) {
  resource::v1::Pod pod;
  (*pod.mutable_labels())["app"] = "web";
  (*pod.mutable_labels())["k8s.io/tier"] = "front";
  (*pod.mutable_labels())["empty"] = "";
  const std::pair<const char*, bool> cases[] = {
      {"", true},
      {" ", true},
      {"app", true},
      {"!app", false},
      {"none", false},
      {"!none", true},
      {"! none", true},
      {"app=web", true},
      {"app==web", true},
      {"app = web", true},
      {"app=we", false},
      {"app!=web", false},
      {"app!=other", true},
      {"none!=web", true},
      {"none=", false},
      {"empty=", true},
      {"app=", false},
      {"k8s.io/tier=front", true},
      {"app in (web)", true},
      {"app in (db, web)", true},
      {"app in (db,cache)", false},
      {"app in ()", false},
      {"empty in ()", true},
      {"app notin (web,db)", false},
      {"app notin (db)", true},
      {"none notin (db)", true},
      {"app=web,k8s.io/tier in (front,back),!canary", true},
      {"app=web,canary", false},
      {"in=web", false},
      {"notin", false},
  };
  for (const auto& [text, fits] : cases) {
    absl::StatusOr<LabelSelector> selector = LabelSelector::Parse(text, pod.GetDescriptor());
    ASSERT_TRUE(selector.ok()) << text << ": " << selector.status();
    EXPECT_EQ(selector->Fits(pod), fits) << text;
  }
}

TEST(LabelSelector, RefusesWhatIsNone) {
  const auto* pods = resource::v1::Pod::descriptor();
  const std::pair<std::string, const char*> cases[] = {
      {",", "expected a label's key at byte 1, found ,"},
      {"app=web,", "expected a label's key at byte 9, found the end"},
      {"=web", "expected a label's key"},
      {"!app=web", "expected a comma, =, !=, in or notin at byte 5, found =web"},
      {"app web", "expected a comma"},
      {"app in web", "expected ( at byte 8"},
      {"app in (web", "expected ) or another value"},
      {"app=a\x01", "found ?"},
      {"app=a/b", "can be no label's value"},
      {std::string(400, 'a'), "longer than any label has"},
      {std::string(5000, 'a'), "more than 4096 bytes"},
      {"a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", "more than 16 requirements"},
  };
  for (const auto& [text, reason] : cases) {
    absl::StatusOr<LabelSelector> selector = LabelSelector::Parse(text, pods);
    ASSERT_EQ(selector.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(selector.status().message()), HasSubstr(reason)) << text;
  }
  EXPECT_THAT(std::string(LabelSelector::Parse("a=b", resource::v1::Service::descriptor()).status().message()),
              HasSubstr("services have no labels; these do: pods, containers"));
}

}  // namespace
}  // namespace stele::machined
