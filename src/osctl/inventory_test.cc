// Which nodes -n means, and what a mistyped word is near to.
#include "osctl/inventory.h"

#include <gmock/gmock.h>

#include "osctl/exit_code.h"
#include "osctl/failure.h"
#include "osctl/suggest.h"

namespace stele::osctl {
namespace {

using stele::config::v1::ClientContext;
using testing::ElementsAre;
using testing::HasSubstr;

ClientContext Demo() {
  ClientContext context;
  context.set_name("demo");
  context.add_endpoints("10.0.0.9");
  auto add = [&](const std::string& name, const std::string& address,
                 const std::map<std::string, std::string>& labels) {
    auto* node = context.add_nodes();
    node->set_name(name);
    node->set_address(address);
    for (const auto& [key, value] : labels) (*node->mutable_labels())[key] = value;
  };
  add("cp-1", "10.0.0.1", {{"role", "control-plane"}, {"zone", "a"}});
  add("w-1", "10.0.0.2:50001", {{"role", "worker"}, {"zone", "a"}});
  add("w-2", "", {{"role", "worker"}, {"zone", "b"}});
  auto group = [&](const std::string& name, const std::string& selector) {
    auto* made = context.add_classes();
    made->set_name(name);
    made->set_selector(selector);
  };
  group("workers", "role=worker");
  group("a-workers", "role=worker,zone!=b");
  group("every", "");
  group("nobody", "role=nothing");
  return context;
}

std::vector<std::string> Names(const std::vector<std::string>& wanted) {
  auto targets = ChooseTargets(Demo(), wanted);
  std::vector<std::string> names;
  if (!targets.ok()) return {std::string(targets.status().message())};
  for (const Target& target : *targets) names.push_back(target.name + "=" + target.address);
  return names;
}

TEST(ChooseTargets, NamesAddressesClassesAndAll) {
  EXPECT_THAT(Names({"w-1"}), ElementsAre("w-1=10.0.0.2:50001"));
  EXPECT_THAT(Names({"w-2,10.0.0.77"}), ElementsAre("w-2=w-2", "10.0.0.77=10.0.0.77"));
  EXPECT_THAT(Names({"@workers"}), ElementsAre("w-1=10.0.0.2:50001", "w-2=w-2"));
  EXPECT_THAT(Names({"@a-workers"}), ElementsAre("w-1=10.0.0.2:50001"));
  EXPECT_THAT(Names({"@zone=a"}), ElementsAre("cp-1=10.0.0.1", "w-1=10.0.0.2:50001"));
  EXPECT_THAT(Names({"@zone!=a"}), ElementsAre("w-2=w-2"));
  EXPECT_THAT(Names({"all"}), ElementsAre("cp-1=10.0.0.1", "w-1=10.0.0.2:50001", "w-2=w-2", "10.0.0.9=10.0.0.9"));
  EXPECT_EQ(Names({"@every"}).size(), 3u);
}

TEST(ChooseTargets, ANodeIsTakenOnce) {
  EXPECT_THAT(Names({"w-1", "@workers,w-1"}), ElementsAre("w-1=10.0.0.2:50001", "w-2=w-2"));
  // Also by its address; what was said first names it.
  EXPECT_THAT(Names({"10.0.0.1:50000,cp-1"}), ElementsAre("10.0.0.1:50000=10.0.0.1:50000"));
}

TEST(ChooseTargets, WhatIsWrongIsSaid) {
  EXPECT_THAT(Names({}), ElementsAre("context demo has several nodes"));
  EXPECT_THAT(Names({"@worker"}), ElementsAre("context demo has no class 'worker'; did you mean 'workers'?"));
  EXPECT_THAT(Names({"@nobody"}), ElementsAre("no node of context demo fits @nobody (role=nothing)"));
  EXPECT_EQ(ExitCodeOf(ChooseTargets(Demo(), {"@nobody"}).status()), ExitCode::kUsage);
  EXPECT_THAT(Names({"@zone=a,role=worker"}), ElementsAre("-n role=worker: no node is named so"));
  ClientContext empty;
  empty.set_name("empty");
  EXPECT_EQ(ChooseTargets(empty, {}).status().message(), "context empty has no nodes");
  EXPECT_EQ(ChooseTargets(empty, {"all"}).status().message(), "context empty has no nodes");
}

TEST(ChooseTargets, TheOnlyNodeNeedsNoName) {
  ClientContext context;
  context.add_nodes()->set_name("one");
  EXPECT_EQ(ChooseTargets(context, {}).value().front().name, "one");
  context.add_endpoints("one");  // the same again
  EXPECT_EQ(ChooseTargets(context, {}).value().size(), 1u);
}

TEST(ChooseTargets, ABadInventoryIsRefusedWhatEverIsAsked) {
  for (const char* name : {"", "all", "@x", "a,b", "cp-1", "..", ".ssh", "a/b"}) {
    ClientContext context = Demo();
    context.add_nodes()->set_name(name);
    EXPECT_EQ(ExitCodeOf(ChooseTargets(context, {"w-1"}).status()), ExitCode::kLocal) << name;
  }
  ClientContext context = Demo();
  context.mutable_classes(0)->set_selector("role==,");
  EXPECT_THAT(ChooseTargets(context, {"w-1"}).status().message(), HasSubstr("class workers: 'role==,' is no selector"));
}

TEST(LabelsFit, Conditions) {
  std::map<std::string, std::string> labels = {{"zone", "a"}, {"gpu", ""}};
  for (const char* text : {"", "zone", "zone=a", "zone!=b", "gpu", "gpu=", "!ssd", "ssd!=x", "zone=a,gpu,!ssd",
                           "zone=a, gpu", " zone = a ", "zone !=b"}) {
    EXPECT_THAT(LabelsFit(text, labels).value_or(false), true) << text;
  }
  for (const char* text : {"!zone", "zone=b", "zone!=a", "ssd", "ssd=", "zone=a,ssd", "zone=A", "gpu, zone!=a",
                           "gpu, !zone", "zone!= a"}) {
    EXPECT_THAT(LabelsFit(text, labels).value_or(true), false) << text;
  }
  for (const char* text : {",", "zone,", "=a", "!", "!zone=a", "!=a", "!!zone", "zone, ", "my zone=a"}) {
    EXPECT_FALSE(LabelsFit(text, labels).ok()) << text;
  }
}

TEST(NamesOf, ManyAreCounted) {
  EXPECT_EQ(NamesOf({"a", "b"}, 2), "a, b");
  EXPECT_EQ(NamesOf({"a", "b", "c", "d"}, 2), "a, b and 2 more");
}

TEST(Suggest, Distance) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("services", "services"), 0u);
  EXPECT_EQ(EditDistance("abc", ""), 3u);
  EXPECT_EQ(EditDistance("serivces", "services"), 1u);  // swapped
  EXPECT_EQ(EditDistance("Servces", "services"), 1u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
}

TEST(Suggest, OnlyWhatIsNear) {
  std::vector<std::string> known = {"get", "logs", "ls", "du", "upgrade", "reboot", "config"};
  EXPECT_EQ(Nearest("gte", known), "get");
  EXPECT_EQ(Nearest("log", known), "logs");
  EXPECT_EQ(Nearest("upgarde", known), "upgrade");
  EXPECT_EQ(Nearest("reboto", known), "reboot");
  EXPECT_EQ(Nearest("conf", known), "config");
  EXPECT_EQ(Nearest("xy", known), "");
  EXPECT_EQ(Nearest("frobnicate", known), "");
  EXPECT_EQ(Nearest("", known), "");
  EXPECT_EQ(Nearest(std::string(1'000'000, 'x'), known), "");
  EXPECT_EQ(DidYouMean("gt", known), "; did you mean 'get'?");
  EXPECT_EQ(DidYouMean("zzzzzz", known), "");
}

}  // namespace
}  // namespace stele::osctl
