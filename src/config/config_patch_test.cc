#include "config/config_patch.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace stele::config {
namespace {

using ::testing::HasSubstr;

YamlTree Tree(absl::string_view text) {
  ParsedYamlTree parsed = ReadYamlTree(text);
  EXPECT_TRUE(parsed.ok()) << text << ": " << ToString(parsed.problem);
  return parsed.tree;
}

struct Case {
  const char* target;
  const char* patch;
  const char* result;  // of a JSON patch: null where it is refused
};

// RFC 7386, appendix A.
TEST(MergePatch, TheTableOfTheRfc) {
  const Case kCases[] = {
      {R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
      {R"({"a":"b"})", R"({"a":null})", R"({})"},
      {R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
      {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
      {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
      {R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
      {R"(["a","b"])", R"(["c","d"])", R"(["c","d"])"},
      {R"({"a":"b"})", R"(["c"])", R"(["c"])"},
      {R"({"a":"foo"})", "null", "null"},
      {R"({"a":"foo"})", R"("bar")", R"("bar")"},
      {R"({"e":null})", R"({"a":1})", R"({"e":null,"a":1})"},
      {R"([1,2])", R"({"a":"b","c":null})", R"({"a":"b"})"},
      {"{}", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
  };
  for (const Case& one : kCases) {
    YamlTree result = MergePatch(Tree(one.target), Tree(one.patch));
    EXPECT_TRUE(SameTree(result, Tree(one.result)))
        << one.target << " + " << one.patch << " = " << WriteYamlTree(result);
  }
}

// RFC 6902, appendix A, and RFC 6901, section 5.
TEST(JsonPatch, TheExamplesOfTheRfcs) {
  const Case kCases[] = {
      {R"({"foo":"bar"})", R"([{"op":"add","path":"/baz","value":"qux"}])", R"({"baz":"qux","foo":"bar"})"},
      {R"({"foo":["bar","baz"]})", R"([{"op":"add","path":"/foo/1","value":"qux"}])", R"({"foo":["bar","qux","baz"]})"},
      {R"({"baz":"qux","foo":"bar"})", R"([{"op":"remove","path":"/baz"}])", R"({"foo":"bar"})"},
      {R"({"foo":["bar","qux","baz"]})", R"([{"op":"remove","path":"/foo/1"}])", R"({"foo":["bar","baz"]})"},
      {R"({"baz":"qux","foo":"bar"})", R"([{"op":"replace","path":"/baz","value":"boo"}])",
       R"({"baz":"boo","foo":"bar"})"},
      {R"({"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}})",
       R"([{"op":"move","from":"/foo/waldo","path":"/qux/thud"}])",
       R"({"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}})"},
      {R"({"foo":["all","grass","cows","eat"]})", R"([{"op":"move","from":"/foo/1","path":"/foo/3"}])",
       R"({"foo":["all","cows","eat","grass"]})"},
      {R"({"baz":"qux","foo":["a",2,"c"]})",
       R"([{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}])",
       R"({"baz":"qux","foo":["a",2,"c"]})"},
      {R"({"baz":"qux"})", R"([{"op":"test","path":"/baz","value":"bar"}])", nullptr},
      {R"({"foo":"bar"})", R"([{"op":"add","path":"/child","value":{"grandchild":{}}}])",
       R"({"foo":"bar","child":{"grandchild":{}}})"},
      {R"({"foo":"bar"})", R"([{"op":"add","path":"/baz","value":"qux","xyz":123}])", R"({"foo":"bar","baz":"qux"})"},
      {R"({"foo":"bar"})", R"([{"op":"add","path":"/baz/bat","value":"qux"}])", nullptr},
      {R"({"/":9,"~1":10})", R"([{"op":"test","path":"/~01","value":10}])", R"({"/":9,"~1":10})"},
      {R"({"/":9,"~1":10})", R"([{"op":"test","path":"/~01","value":"10"}])", nullptr},
      {R"({"foo":["bar"]})", R"([{"op":"add","path":"/foo/-","value":["abc","def"]}])",
       R"({"foo":["bar",["abc","def"]]})"},
      {R"({"":0,"a/b":1,"m~n":8})",
       R"([{"op":"test","path":"/","value":0},{"op":"test","path":"/a~1b","value":1},{"op":"test","path":"/m~0n","value":8}])",
       R"({"":0,"a/b":1,"m~n":8})"},
      {R"({"a":1})", R"([{"op":"replace","path":"","value":{"b":2}}])", R"({"b":2})"},
      {R"({"a":{"b":1}})", R"([{"op":"copy","from":"/a","path":"/c"}])", R"({"a":{"b":1},"c":{"b":1}})"},
      {R"({"a":1.0})", R"([{"op":"test","path":"/a","value":1}])", R"({"a":1})"},
  };
  for (const Case& one : kCases) {
    absl::StatusOr<YamlTree> result = JsonPatch(Tree(one.target), Tree(one.patch));
    if (one.result == nullptr) {
      EXPECT_FALSE(result.ok()) << one.target << " + " << one.patch << " = " << WriteYamlTree(*result);
      continue;
    }
    ASSERT_TRUE(result.ok()) << one.target << " + " << one.patch << ": " << result.status();
    EXPECT_TRUE(SameTree(*result, Tree(one.result)))
        << one.target << " + " << one.patch << " = " << WriteYamlTree(*result);
  }
}

TEST(JsonPatch, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> kCases[] = {
      {"{}", "a JSON patch is a list of operations"},
      {"[1]", "operation 0: expected a mapping with op and path"},
      {"[{op: add, path: /a}]", "operation 0: add needs a value"},
      {"[{op: jump, path: /a}]", "unknown op 'jump'"},
      {"[{path: /a}]", "expected a text for 'op'"},
      {"[{op: remove, path: [a]}]", "expected a text for 'path'"},
      {"[{op: remove, path: a}]", "'a' does not begin with /"},
      {"[{op: remove, path: ''}]", "the whole cannot be removed"},
      {"[{op: remove, path: /x}]", "there is nothing at '/x'"},
      {"[{op: remove, path: /~2}]", "has a ~ that is neither ~0 nor ~1"},
      {"[{op: remove, path: /~}]", "has a ~ that is neither ~0 nor ~1"},
      {"[{op: remove, path: /l/3}]", "there is nothing at '/l/3'"},
      {"[{op: remove, path: /l/-}]", "there is nothing at '/l/-'"},
      {"[{op: remove, path: /l/01}]", "there is nothing at '/l/01'"},
      {"[{op: remove, path: /l/99999999999999999999}]", "there is nothing at"},
      {"[{op: add, path: /l/4, value: 1}]", "is no place in the list"},
      {"[{op: add, path: /l/-1, value: 1}]", "is no place in the list"},
      {"[{op: add, path: /a/b, value: 1}]", "is below nothing"},
      {"[{op: move, from: /m, path: /m/n/o}]", "move '/m' into itself"},
      {"[{op: copy, from: /x, path: /y}]", "there is nothing at '/x'"},
      {"[{op: test, path: /a, value: 2}]", "test: '/a' has another value"},
  };
  for (auto [patch, why] : kCases) {
    absl::StatusOr<YamlTree> result = JsonPatch(Tree("{a: 1, l: [1, 2, 3], m: {n: {}}}"), Tree(patch));
    ASSERT_FALSE(result.ok()) << patch;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(why)) << patch;
  }
}

TEST(JsonPatch, CannotGrowWithoutEnd) {
  std::string doubling = "[";
  for (int i = 0; i < 900; ++i) absl::StrAppend(&doubling, "{op: copy, from: '', path: /x", i, "}, ");
  absl::StatusOr<YamlTree> result = JsonPatch(Tree("{a: 1}"), Tree(doubling + "]"));
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("larger than 4 MiB"));
  std::string many = "[";
  for (int i = 0; i < 1001; ++i) absl::StrAppend(&many, "{op: test, path: /a, value: 1}, ");
  EXPECT_THAT(std::string(JsonPatch(Tree("{a: 1}"), Tree(many + "]")).status().message()), HasSubstr("at most 1000"));
  std::string deep = "[{op: remove, path: ";
  for (int i = 0; i < 100; ++i) deep += "/a";
  EXPECT_THAT(std::string(JsonPatch(Tree("{a: 1}"), Tree(deep + "}]")).status().message()), HasSubstr("is too deep"));
}

TEST(YamlTree, RefusesWhatIsNoPlainTree) {
  for (const char* text :
       {"", "a: 1\na: 2", "&x a", "*x", "!!str a", "a: 1\n---\nb: 2", "{a: 1", "a: \x01", "? [a]\n: b"}) {
    EXPECT_FALSE(ReadYamlTree(text).ok()) << text;
  }
  EXPECT_FALSE(ReadYamlTree(std::string(100, '[')).ok());
  EXPECT_FALSE(ReadYamlTree(std::string((1 << 20) + 1, ' ')).ok());
  std::string many = "[";
  for (int i = 0; i < 20'001; ++i) many += "a,";
  EXPECT_FALSE(ReadYamlTree(many + "]").ok());
}

TEST(YamlTree, IsWrittenAsItIsRead) {
  for (const char* text :
       {"{a: [1, true, null, '1', \"x\\ny\", {}], b: {c: d}}", "[]", "~", "a: |\n  two\n  lines\n"}) {
    YamlTree tree = Tree(text);
    EXPECT_TRUE(SameTree(tree, Tree(WriteYamlTree(tree)))) << text << WriteYamlTree(tree);
  }
  EXPECT_FALSE(SameTree(Tree("1"), Tree("'1'")));
  EXPECT_FALSE(SameTree(Tree("{a: 1}"), Tree("{b: 1}")));
}

}  // namespace
}  // namespace stele::config
