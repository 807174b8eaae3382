#include "osctl/man_page.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/build_version.h"
#include "osctl/help.h"

namespace stele::osctl {
namespace {

// A line of help that is longer may have been broken by hand, and goes on in the next one.
constexpr size_t kBrokenByHand = 80;
// So near to its beginning has a line the colon behind what it is about: "json (RFC 6902): …".
constexpr size_t kAbout = 20;

// The code point that `text` begins with, which is UTF-8 of ours; takes its bytes away.
uint32_t TakeCodePoint(absl::string_view* text) {
  unsigned char first = static_cast<unsigned char>(text->front());
  size_t more = first < 0xc0 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
  uint32_t code = more == 0 ? first : first & (0x3f >> more);
  for (size_t i = 1; i <= more && i < text->size(); ++i) {
    code = (code << 6) | (static_cast<unsigned char>((*text)[i]) & 0x3f);
  }
  text->remove_prefix(std::min(text->size(), more + 1));
  return code;
}

// Text as roff has it: what it takes for typography stays what was typed, and nothing is a request.
std::string Roff(absl::string_view text) {
  std::string out;
  if (absl::StartsWith(text, ".") || absl::StartsWith(text, "'")) out = "\\&";
  while (!text.empty()) {
    uint32_t code = TakeCodePoint(&text);
    switch (code) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '`':
        out += "\\(ga";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '^':
        out += "\\(ha";
        break;
      case '~':
        out += "\\(ti";
        break;
      default:
        if (code < 0x80) {
          out.push_back(static_cast<char>(code));
        } else {
          absl::StrAppendFormat(&out, "\\[u%04X]", code);
        }
    }
  }
  return out;
}

std::string PageName(const std::vector<const Command*>& path) {
  return absl::StrReplaceAll(CommandPath(path), {{" ", "-"}});
}

void AppendSection(absl::string_view title, const HelpLines& lines, std::string* out) {
  if (lines.empty()) return;
  absl::StrAppend(out, ".SH ", title, "\n");
  for (const auto& [term, text] : lines) {
    absl::StrAppend(out, ".TP\n\\fB", Roff(absl::StripLeadingAsciiWhitespace(term)), "\\fR\n", Roff(text), "\n");
  }
}

// Lines that begin with blanks are examples; the others are filled.
void AppendDescription(absl::string_view text, std::string* out) {
  absl::StrAppend(out, ".SH DESCRIPTION\n");
  bool example = false;
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    absl::string_view line = lines[i];
    bool begins = absl::StartsWith(line, "  ");
    if (begins != example) absl::StrAppend(out, begins ? ".PP\n.RS 4\n.nf\n" : ".fi\n.RE\n.PP\n");
    example = begins;
    absl::StrAppend(out, Roff(absl::StripLeadingAsciiWhitespace(line)), "\n");
    bool ends = line.size() < kBrokenByHand || absl::EndsWith(line, ".") || absl::EndsWith(line, ":") ||
                (i + 1 < lines.size() && lines[i + 1].find(": ") < kAbout);
    if (!example && ends) absl::StrAppend(out, ".br\n");
  }
  if (example) absl::StrAppend(out, ".fi\n.RE\n");
  // A break before the next heading would be one too many.
  if (absl::EndsWith(*out, ".br\n")) out->resize(out->size() - 4);
}

// The command above, those below.
void AppendSeeAlso(const std::vector<const Command*>& path, std::string* out) {
  std::vector<std::string> pages;
  auto add = [&](const std::string& name) { pages.push_back(absl::StrCat("\\fB", Roff(name), "\\fR(1)")); };
  if (path.size() > 1) add(PageName({path.begin(), path.end() - 1}));
  for (const Command& child : path.back()->subcommands) {
    if (!child.hidden) add(absl::StrCat(PageName(path), "-", child.name));
  }
  absl::StrAppend(out, ".SH SEE ALSO\n", absl::StrJoin(pages, ",\n"), "\n");
}

ManPage PageOf(const Command& root, const std::vector<const Command*>& path) {
  const Command& command = *path.back();
  std::string name = PageName(path);
  std::string out =
      absl::StrCat(".\\\" Made by `osctl gen man` from what --help prints.\n.TH ", Roff(absl::AsciiStrToUpper(name)),
                   " 1 \"\" \"Stele ", kBuildVersion, "\" \"Stele\"\n.ad l\n.nh\n.SH NAME\n", Roff(name), " \\- ",
                   Roff(command.summary), "\n.SH SYNOPSIS\n\\fB", Roff(UsageLine(path)), "\\fR\n");
  if (!command.description.empty()) AppendDescription(command.description, &out);
  AppendSection("COMMANDS", CommandLines(command), &out);
  AppendSection("ARGUMENTS", ArgumentLines(command), &out);
  if (&command != &root) AppendSection("OPTIONS", OptionLines(command), &out);
  AppendSection("GLOBAL OPTIONS", GlobalOptionLines(root), &out);
  AppendSection("EXIT STATUS", ExitCodeLines(), &out);
  AppendSeeAlso(path, &out);
  return {absl::StrCat(name, ".1"), std::move(out)};
}

std::string Html(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

constexpr char kStyle[] =
    "body{font:16px/1.5 sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}"
    "pre{background:#f4f4f4;padding:1rem;overflow-x:auto;font-size:14px;line-height:1.4}"
    "td{padding:.1rem 1rem .1rem 0;vertical-align:top}a{color:#05a}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}pre{background:#262626}a{color:#7bf}}";

}  // namespace

std::vector<ManPage> ManPages(const Command& root) {
  std::vector<ManPage> pages;
  ForEachCommand(root, [&](const std::vector<const Command*>& path) { pages.push_back(PageOf(root, path)); });
  return pages;
}

std::string WebPage(const Command& root) {
  std::string list, sections;
  ForEachCommand(root, [&](const std::vector<const Command*>& path) {
    std::string id = PageName(path), name = CommandPath(path);
    absl::StrAppend(&list, "<tr><td><a href=\"#", id, "\">", name, "</a></td><td>", Html(path.back()->summary),
                    "</td></tr>\n");
    absl::StrAppend(&sections, "<h2 id=\"", id, "\">", name, "</h2>\n<pre>", Html(HelpText(root, path)), "</pre>\n");
  });
  return absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>osctl ",
      kBuildVersion, "</title>\n<style>", kStyle, "</style>\n</head>\n<body>\n<h1>osctl ", kBuildVersion,
      "</h1>\n<table>\n", list, "</table>\n", sections, "</body>\n</html>\n");
}

}  // namespace stele::osctl
