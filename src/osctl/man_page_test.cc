// Manual pages and the page for the web. That man and groff have nothing to say against them: tests/node/test_man.py.
#include "osctl/man_page.h"

#include <gmock/gmock.h>

#include "osctl/fake_node.h"

namespace stele::osctl {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(ManPage, AFileForEachCommand) {
  TemporaryDirectory folder;
  ASSERT_EQ(RunOsctl({"gen", "man", folder.path()}, {}).code, 0);
  std::string page = ReadFile(folder.path() + "/osctl-config-apply.1").value_or("");
  EXPECT_THAT(page, HasSubstr(".SH NAME\nosctl\\-config\\-apply \\- gives the node a configuration\n"));
  EXPECT_THAT(page, HasSubstr(".TP\n\\fB\\-f, \\-\\-file FILE\\fR\n"));
  EXPECT_THAT(ReadFile(folder.path() + "/osctl.1").value_or(""), HasSubstr("\\fBosctl\\-apply\\fR(1)"));
  Outcome missing = RunOsctl({"gen", "man", folder.path() + "/missing"}, {});
  EXPECT_EQ(missing.code, 8);
  EXPECT_THAT(missing.err, HasSubstr("DIR has to exist"));
  EXPECT_EQ(RunOsctl({"gen", "man"}, {}).code, 2);
}

// What is typed stays what is typed, and no line is a request.
TEST(ManPage, TextIsNoMarkup) {
  Command root;
  root.name = "x";
  root.summary = ".so a\\b `c' – ~^";
  root.description = "'quoted\n  .example\nlast";
  std::string page = ManPages(root)[0].text;
  EXPECT_THAT(page, HasSubstr("x \\- \\&.so a\\eb \\(gac\\(aq \\[u2013] \\(ti\\(ha\n"));
  EXPECT_THAT(page,
              HasSubstr(".SH DESCRIPTION\n\\&\\(aqquoted\n.br\n.PP\n.RS 4\n.nf\n\\&.example\n.fi\n.RE\n.PP\nlast\n"));
}

TEST(WebPage, HasEachCommand) {
  Outcome run = RunOsctl({"gen", "reference", "--html"}, {});
  EXPECT_THAT(run.out, StartsWith("<!DOCTYPE html>\n"));
  EXPECT_THAT(run.out, HasSubstr("<a href=\"#osctl-config-apply\">"));
  EXPECT_THAT(run.out, HasSubstr("<h2 id=\"osctl-config-apply\">"));
  EXPECT_EQ(RunOsctl({"gen", "reference", "--html", "--exit-codes"}, {}).code, 2);
}

}  // namespace
}  // namespace stele::osctl
