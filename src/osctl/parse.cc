#include "osctl/parse.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/str_join.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

CLI::Option* AddValue(CLI::App* app, const Argument& argument, const std::string& name) {
  return absl::visit(
      [&](auto* target) -> CLI::Option* {
        using T = std::remove_pointer_t<decltype(target)>;
        if constexpr (std::is_same_v<T, bool>) {
          return app->add_flag(name, *target, argument.help);
        } else if constexpr (std::is_same_v<T, absl::Duration>) {
          return app->add_option_function<std::string>(
              name,
              [target, name](const std::string& text) {
                absl::StatusOr<absl::Duration> duration = ParseDuration(text);
                if (!duration.ok()) throw CLI::ValidationError(name, std::string(duration.status().message()));
                *target = *duration;
              },
              argument.help);
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          CLI::Option* option = app->add_option(name, *target, argument.help);
          // One value for each use, so that a positional argument may follow an option.
          if (!argument.positional()) option->allow_extra_args(false);
          return option;
        } else {
          return app->add_option(name, *target, argument.help);
        }
      },
      argument.target);
}

void Declare(CLI::App* app, const Command& command) {
  app->set_help_flag();  // ours: CLI11's would throw before we know the command
  app->require_subcommand(0, 1);
  app->fallthrough();  // -n and its like are taken after the command too
  for (const Argument& argument : command.arguments) {
    CLI::Option* option = AddValue(app, argument, argument.positional() ? argument.placeholder : argument.names);
    if (argument.presence == Presence::kRequired) option->required();
    if (argument.check) {
      option->check(argument.check);
    } else if (!argument.choices.empty()) {
      option->check(CLI::IsMember(argument.choices));
    }
  }
  for (const Command& child : command.subcommands) Declare(app->add_subcommand(child.name, child.summary), child);
}

const Command* Find(const Command& parent, const std::string& name) {
  for (const Command& child : parent.subcommands) {
    if (child.name == name) return &child;
  }
  return nullptr;
}

std::string NamesOf(const Command& group) {
  std::vector<std::string> names;
  for (const Command& child : group.subcommands) {
    if (!child.hidden) names.push_back(child.name);
  }
  return absl::StrJoin(names, ", ");
}

std::string PathOf(const Parsed& parsed) {
  return absl::StrJoin(parsed.path, " ", [](std::string* out, const Command* c) { out->append(c->name); });
}

// The words that name commands, found before the real parse: what --help and errors speak of.
// An option's separate value that equals a command's name is only taken for one here.
Parsed Locate(const Command& root, const std::vector<std::string>& words) {
  Parsed parsed{&root, {&root}, false};
  for (const std::string& word : words) {
    if (word == "--") break;
    if (word == "-h" || word == "--help") parsed.help = true;
    if (const Command* child = Find(*parsed.command, word)) {
      parsed.command = child;
      parsed.path.push_back(child);
    }
  }
  return parsed;
}

// The first option that was given to this very command; empty: none.
std::string GivenOption(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() > 0) return option->get_name();
  }
  return "";
}

}  // namespace

absl::StatusOr<Parsed> Parse(const Command& root, const std::vector<std::string>& words) {
  Parsed parsed = Locate(root, words);
  if (parsed.help) return parsed;
  CLI::App app;
  Declare(&app, root);
  std::string help = absl::StrCat("see `", PathOf(parsed), " --help`");
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());  // CLI11 takes them from the back
    app.parse(reversed);
  } catch (const CLI::ExtrasError&) {
    const Command& at = *parsed.command;
    for (const std::string& word : app.remaining(true)) {
      if (word.rfind('-', 0) == 0) return UsageError(absl::StrCat("unknown option ", word), help);
      if (!at.subcommands.empty()) {
        return UsageError(absl::StrCat("unknown command '", word, "'; known are ", NamesOf(at)), help);
      }
      return UsageError(absl::StrCat("unexpected argument '", word, "'"), help);
    }
    return UsageError("unexpected arguments", help);
  } catch (const CLI::ParseError& error) {
    return UsageError(error.what(), help);
  }
  // Now for sure: the path CLI11 took.
  parsed = {&root, {&root}, false};
  for (CLI::App* at = &app; !at->get_subcommands().empty();) {
    // Options fall through to the commands above; only the root's are meant for all.
    if (at != &app && !GivenOption(*at).empty()) {
      return UsageError(absl::StrCat(GivenOption(*at), " is no option of `", PathOf(parsed), " ",
                                     at->get_subcommands().front()->get_name(), "`"),
                        help);
    }
    at = at->get_subcommands().front();
    parsed.command = Find(*parsed.command, at->get_name());
    parsed.path.push_back(parsed.command);
  }
  return parsed;
}

}  // namespace stele::osctl
