#include "osctl/output/json_path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stele::osctl {
namespace {

using testing::HasSubstr;

// {"items":[{"id":"apid","pid":7,"up":true,"tags":["a","b"]},{"id":"kubelet","pid":12,"up":false,"deep":{"id":"x"}}],"kind":"List"}
Value Root() {
  Value apid =
      Value::Map().Add("id", Value::String("apid")).Add("pid", Value::Literal("7")).Add("up", Value::Literal("true"));
  Value tags = Value::List();
  tags.Append(Value::String("a"));
  tags.Append(Value::String("b"));
  apid.Add("tags", std::move(tags));
  Value kubelet = Value::Map()
                      .Add("id", Value::String("kubelet"))
                      .Add("pid", Value::Literal("12"))
                      .Add("up", Value::Literal("false"));
  kubelet.Add("deep", Value::Map().Add("id", Value::String("x")));
  Value items = Value::List();
  items.Append(std::move(apid));
  items.Append(std::move(kubelet));
  return Value::Map().Add("items", std::move(items)).Add("kind", Value::String("List"));
}

TEST(JsonPath, Templates) {
  const std::pair<const char*, const char*> cases[] = {
      {"{.kind}", "List"},
      {".kind", "List"},
      {"$.kind", "List"},
      {"{.items[*].id}", "apid kubelet"},
      {"{.items[0].id}", "apid"},
      {"{.items[-1].id}", "kubelet"},
      {"{.items[-2].id}", "apid"},
      {"{.items[0:1].id}", "apid"},
      {"{.items[1:].id}", "kubelet"},
      {"{.items[:1].id}", "apid"},
      {"{.items[:-1].id}", "apid"},
      {"{.items[7].id}", ""},
      {"{.items[9:3].id}", ""},
      {"{.nothing.at.all}", ""},
      {"{.kind.deeper}", ""},
      {"{['kind']}", "List"},
      {"{.items[0]['id']}", "apid"},
      {"{..id}", "apid kubelet x"},
      {"{.items[0].tags}", "[\"a\",\"b\"]"},
      {"{.items[0].tags.*}", "a b"},
      {"{.items[?(@.id==\"apid\")].pid}", "7"},
      {"{.items[?(@.id!='apid')].pid}", "12"},
      {"{.items[?(@.pid>7)].id}", "kubelet"},
      {"{.items[?(@.pid>=7)].id}", "apid kubelet"},
      {"{.items[?(@.pid<12)].id}", "apid"},
      {"{.items[?(@.pid<=6)].id}", ""},
      {"{.items[?(@.up==true)].id}", "apid"},
      {"{.items[?(@.deep)].id}", "kubelet"},
      {"{.items[?(@.deep.id==\"x\")].id}", "kubelet"},
      {"n: {.kind}!", "n: List!"},
      {"{range .items[*]}{.id}{\"\\t\"}{.pid}{\"\\n\"}{end}", "apid\t7\nkubelet\t12\n"},
      {"{range .items[*]}{range .tags[*]}<{@}>{end};{end}", "<a><b>;;"},
      {"{ .kind }", "List"},
  };
  for (const auto& [text, expected] : cases) {
    absl::StatusOr<JsonPath> path = JsonPath::Parse(text);
    ASSERT_TRUE(path.ok()) << text << ": " << path.status();
    EXPECT_EQ(path->Render(Root()), expected) << text;
  }
}

TEST(JsonPath, WhatIsWrongIsToldWithItsPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "expected a template"},
      {"{.kind", "character 7: expected }"},
      {"{range .items[*]}{.id}", "{range} without {end}"},
      {"{end}", "{end} without {range}"},
      {"{.items[}", "character 9: expected a number"},
      {"{.items[0}", "expected ]"},
      {"{.items[?(id==1)]}", "expected @"},
      {"{.items[?(@.id~1)]}", "expected )"},
      {"{.items[?(@.id==)]}", "expected a value"},
      {"{\"x}", "a quote that does not end"},
      {"{.a.}", "expected a name"},
      {".a b", "expected the end"},
      {"{.items[99999999999999999999]}", "expected a number"},
  };
  for (const auto& [text, expected] : cases) {
    absl::StatusOr<JsonPath> path = JsonPath::Parse(text);
    ASSERT_FALSE(path.ok()) << text;
    EXPECT_THAT(std::string(path.status().message()), HasSubstr(expected)) << text;
  }
}

TEST(JsonPath, DepthIsBounded) {
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "{range .items[*]}";
  EXPECT_FALSE(JsonPath::Parse(deep).ok());
  std::string filters = "{.a";
  for (int i = 0; i < 1000; ++i) filters += "[?(@.b";
  EXPECT_FALSE(JsonPath::Parse(filters).ok());
}

}  // namespace
}  // namespace stele::osctl
