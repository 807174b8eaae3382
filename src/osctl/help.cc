#include "osctl/help.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "osctl/exit_code.h"

namespace stele::osctl {
namespace {

constexpr char kGlobalTitle[] = "\nGlobal options:\n";

using Lines = HelpLines;

std::string OptionTerm(const Argument& argument) {
  std::string names = absl::StrReplaceAll(argument.names, {{",", ", "}});
  if (argument.names.rfind("--", 0) == 0) names = absl::StrCat("    ", names);  // under those with a letter
  return argument.flag() ? names : absl::StrCat(names, " ", argument.placeholder);
}

std::string PositionalTerm(const Argument& argument) {
  std::string term = argument.placeholder;
  if (argument.repeated()) term += "...";
  return argument.presence == Presence::kRequired ? term : absl::StrCat("[", term, "]");
}

void AppendLines(const Lines& lines, std::string* out) {
  size_t width = 0;
  for (const auto& [term, text] : lines) width = std::max(width, term.size());
  for (const auto& [term, text] : lines) {
    absl::StrAppend(out, "  ", term, std::string(width - term.size() + 2, ' '), text, "\n");
  }
}

void AppendSection(absl::string_view title, const Lines& lines, std::string* out) {
  if (lines.empty()) return;
  absl::StrAppend(out, "\n", title, ":\n");
  AppendLines(lines, out);
}

}  // namespace

std::string CommandPath(const std::vector<const Command*>& path) {
  return absl::StrJoin(path, " ", [](std::string* out, const Command* command) { out->append(command->name); });
}

std::string SubcommandNames(const Command& group) {
  std::vector<std::string> names;
  for (const Command& child : group.subcommands) {
    if (!child.hidden) names.push_back(child.name);
  }
  return absl::StrJoin(names, ", ");
}

HelpLines CommandLines(const Command& command) {
  HelpLines lines;
  for (const Command& child : command.subcommands) {
    if (!child.hidden) lines.emplace_back(child.name, child.summary);
  }
  return lines;
}

HelpLines ArgumentLines(const Command& command) {
  HelpLines lines;
  for (const Argument& argument : command.arguments) {
    if (argument.positional()) lines.emplace_back(argument.placeholder, argument.help);
  }
  return lines;
}

HelpLines OptionLines(const Command& command) {
  HelpLines lines;
  for (const Argument& argument : command.arguments) {
    if (argument.positional()) continue;
    std::string help = argument.help;
    if (argument.repeated()) help += " (may be given again)";
    if (argument.presence == Presence::kRequired) help += " (required)";
    lines.emplace_back(OptionTerm(argument), help);
  }
  return lines;
}

HelpLines GlobalOptionLines(const Command& root) {
  HelpLines lines = OptionLines(root);
  lines.emplace_back("-h, --help", "shows this");
  return lines;
}

HelpLines ExitCodeLines() {
  HelpLines lines;
  for (const ExitCodeText& code : ExitCodes()) {
    lines.emplace_back(absl::StrCat(static_cast<int>(code.code)), std::string(code.meaning));
  }
  return lines;
}

std::string UsageLine(const std::vector<const Command*>& path) {
  const Command& command = *path.back();
  std::string usage = CommandPath(path);
  if (!command.subcommands.empty()) usage += command.run ? " [COMMAND]" : " COMMAND";
  for (const Argument& argument : command.arguments) {
    if (argument.positional()) absl::StrAppend(&usage, " ", PositionalTerm(argument));
  }
  return usage + " [OPTIONS]";
}

std::string HelpText(const Command& root, const std::vector<const Command*>& path) {
  const Command& command = *path.back();
  std::string out = absl::StrCat(CommandPath(path), ": ", command.summary, "\n\nUsage: ", UsageLine(path), "\n");
  if (!command.description.empty()) absl::StrAppend(&out, "\n", command.description, "\n");
  AppendSection("Commands", CommandLines(command), &out);
  AppendSection("Arguments", ArgumentLines(command), &out);
  if (&command != &root) AppendSection("Options", OptionLines(command), &out);
  if (&command == &root) AppendSection("Exit codes", ExitCodeLines(), &out);
  absl::StrAppend(&out, kGlobalTitle);
  AppendLines(GlobalOptionLines(root), &out);
  return out;
}

void ForEachCommand(const Command& root, const std::function<void(const std::vector<const Command*>& path)>& visit) {
  std::vector<const Command*> path;
  std::function<void(const Command&)> walk = [&](const Command& command) {
    path.push_back(&command);
    visit(path);
    for (const Command& child : command.subcommands) {
      if (!child.hidden) walk(child);
    }
    path.pop_back();
  };
  walk(root);
}

std::string ReferencePage(const Command& root) {
  std::string out =
      "# osctl\n\n"
      "Made by `osctl gen reference` from what `--help` prints; osctl_test fails when the two differ.\n"
      "Exit codes are in [exit-codes.md](exit-codes.md).\n";
  ForEachCommand(root, [&](const std::vector<const Command*>& path) {
    std::string help = HelpText(root, path);
    if (path.size() > 1) help.resize(help.find(kGlobalTitle));  // once is enough on a page
    absl::StrAppend(&out, "\n## ", CommandPath(path), "\n\n```\n", help, "```\n");
  });
  return out;
}

std::string ExitCodePage() {
  std::string out =
      "# Exit codes of osctl\n\n"
      "Made by `osctl gen reference --exit-codes` from `src/osctl/exit_code.cc`. The codes are a promise: a new\n"
      "one may be added, none changes its meaning. With several nodes it is the highest code of them all.\n"
      "A run that a signal ends has the shell's code for it, such as 130 for Ctrl-C.\n\n"
      "| code | name | meaning |\n|---|---|---|\n";
  for (const ExitCodeText& code : ExitCodes()) {
    absl::StrAppend(&out, "| ", static_cast<int>(code.code), " | ", code.name, " | ", code.meaning, " |\n");
  }
  return out;
}

}  // namespace stele::osctl
