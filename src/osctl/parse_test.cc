// Command lines, help, the reference pages, failures.
#include "osctl/parse.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "osctl/commands/commands.h"
#include "osctl/completion.h"
#include "osctl/failure.h"
#include "osctl/help.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ParseTest : public testing::Test {
 protected:
  ParseTest() {
    Command leaf;
    leaf.name = "leaf";
    leaf.arguments = {
        {"", "NAME", "", &name_, Presence::kRequired},
        {"", "MORE", "", &more_},
        {"-f,--follow", "", "", &follow_},
        {"--tail", "N", "", &tail_},
        {"--since", "DURATION", "", &since_},
        {"-o,--output", "FORMAT", "", &output_},
    };
    leaf.arguments.back().choices = {"json", "yaml"};
    Command group;
    group.name = "group";
    group.subcommands = {leaf};
    root_.name = "osctl";
    root_.arguments = {{"-n,--nodes", "NODE", "", &nodes_}};
    root_.subcommands = {group};
  }

  std::string ErrorOf(const std::vector<std::string>& words) {
    absl::StatusOr<Parsed> parsed = Parse(root_, words);
    EXPECT_FALSE(parsed.ok());
    EXPECT_EQ(ExitCodeOf(parsed.status()), ExitCode::kUsage);
    return FailureLine("", parsed.status());
  }

  Command root_;
  std::vector<std::string> nodes_;
  std::string name_;
  std::vector<std::string> more_;
  bool follow_ = false;
  uint32_t tail_ = 0;
  absl::Duration since_;
  std::string output_;
};

TEST_F(ParseTest, EverythingInItsPlace) {
  auto parsed = Parse(
      root_, {"group", "leaf", "-n", "a", "x", "-f", "y", "--tail=5", "z", "--since", "1h", "-n", "b", "-o", "json"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->command->name, "leaf");
  EXPECT_EQ(CommandPath(parsed->path), "osctl group leaf");
  EXPECT_THAT(nodes_, ElementsAre("a", "b"));
  EXPECT_EQ(name_, "x");
  EXPECT_THAT(more_, ElementsAre("y", "z"));
  EXPECT_TRUE(follow_);
  EXPECT_EQ(tail_, 5u);
  EXPECT_EQ(since_, absl::Hours(1));
  EXPECT_EQ(output_, "json");
}

TEST_F(ParseTest, GlobalOptionsBeforeTheCommand) {
  auto parsed = Parse(root_, {"--nodes", "a,b", "group", "leaf", "x"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(nodes_, ElementsAre("a,b"));
}

TEST_F(ParseTest, Errors) {
  EXPECT_EQ(ErrorOf({"nonsense"}), "osctl: unknown command 'nonsense'; known are group; see `osctl --help`\n");
  EXPECT_THAT(ErrorOf({"group", "leaf"}), HasSubstr("NAME is required; see `osctl group leaf --help`"));
  EXPECT_THAT(ErrorOf({"group", "leaf", "x", "--nonsense"}), HasSubstr("unknown option --nonsense"));
  EXPECT_THAT(ErrorOf({"group", "leaf", "x", "-o", "xml"}), HasSubstr("xml not in {json,yaml}"));
  EXPECT_THAT(ErrorOf({"group", "leaf", "x", "--tail", "-1"}), HasSubstr("--tail"));
  EXPECT_THAT(ErrorOf({"group", "leaf", "x", "--since", "soon"}), HasSubstr("'soon' is no duration"));
}

TEST_F(ParseTest, HelpWinsOverErrors) {
  auto parsed = Parse(root_, {"group", "leaf", "--nonsense", "-h"});
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(parsed->help);
  EXPECT_EQ(parsed->command->name, "leaf");
}

TEST_F(ParseTest, Completion) {
  EXPECT_THAT(WhatFits(root_, {""}).candidates, ElementsAre("group"));
  EXPECT_THAT(WhatFits(root_, {"group", "leaf", "x", "-o", ""}).candidates, ElementsAre("json", "yaml"));
  EXPECT_THAT(WhatFits(root_, {"group", "leaf", "--"}).candidates, testing::Contains("--tail"));
  EXPECT_THAT(WhatFits(root_, {"group", "leaf", "--"}).candidates, testing::Contains("--nodes"));
  EXPECT_THAT(WhatFits(root_, {"group", "leaf", "-n", "a", "x", ""}).positionals, ElementsAre("x"));
}

TEST(Failures, OneLineWithTheNextStep) {
  absl::Status status = absl::UnavailableError("first\nsecond");
  EXPECT_EQ(FailureLine("n1", Annotate(status, "get services")),
            "osctl: n1: get services: first; second; try again, or look at the node's console\n");
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kUnreachable);
  absl::Status local = Annotate(LocalError("no file", "make one"), "apply");
  EXPECT_EQ(FailureLine("", local), "osctl: apply: no file; make one\n");
  EXPECT_EQ(ExitCodeOf(local), ExitCode::kLocal);
  // A classification takes the advice about nodes away.
  EXPECT_EQ(NextStepOf(WithExit(absl::NotFoundError("open x"), ExitCode::kLocal)), "");
}

// Whoever changes a command's help runs what the message says.
TEST(Reference, PagesAreCurrent) {
  GlobalOptions options;
  Command root = RootCommand(&options);
  EXPECT_EQ(ReadFile("docs/osctl.md").value_or(""), ReferencePage(root))
      << "run build/release/bin/osctl gen reference > docs/osctl.md";
  EXPECT_EQ(ReadFile("docs/exit-codes.md").value_or(""), ExitCodePage())
      << "run build/release/bin/osctl gen reference --exit-codes > docs/exit-codes.md";
}

void CheckHelp(const Command& command) {
  EXPECT_FALSE(command.summary.empty()) << command.name;
  EXPECT_TRUE(command.run || !command.subcommands.empty()) << command.name;
  for (const Argument& argument : command.arguments) {
    EXPECT_FALSE(argument.help.empty()) << command.name << " " << argument.names;
    EXPECT_TRUE(argument.flag() || !argument.placeholder.empty()) << command.name << " " << argument.names;
  }
  for (const Command& child : command.subcommands) CheckHelp(child);
}

TEST(Reference, EverythingIsExplained) {
  GlobalOptions options;
  CheckHelp(RootCommand(&options));
}

}  // namespace
}  // namespace stele::osctl
