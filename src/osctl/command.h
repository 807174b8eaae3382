// What a command is: plain data, from which parsing (parse.cc), --help and the reference page
// (help.cc) and shell completion (completion.cc) are made.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/variant.h"
#include "osctl/exit_code.h"

namespace stele::osctl {

class Session;

// What a shell may offer for an argument's value.
enum class Completion : uint8_t {
  kNone,
  kFile,
  kDirectory,
  kContext,
  kNode,
  kResourceType,
  kResourceId,
  kService,
  kNodeFile
};

enum class Presence : uint8_t { kOptional, kRequired };

// One flag, option or positional argument. What it is follows from `names` ("-f,--follow", or empty
// for a positional one) and from the type of what it is stored in.
struct Argument {
  using Target = absl::variant<bool*, std::string*, std::vector<std::string>*, uint32_t*, absl::Duration*>;

  std::string names;
  std::string placeholder;  // "N", "DURATION"; of a positional argument its name
  std::string help;
  Target target;
  Presence presence = Presence::kOptional;
  Completion completion = Completion::kNone;
  std::vector<std::string> choices = {};  // the only values taken, when there are any
  // What is wrong with a value; empty: nothing. Instead of `choices`, which then only say what a shell may offer.
  std::function<std::string(const std::string&)> check = {};

  bool positional() const { return names.empty(); }
  bool flag() const { return absl::holds_alternative<bool*>(target); }
  bool repeated() const { return absl::holds_alternative<std::vector<std::string>*>(target); }
};

struct Command {
  std::string name;
  std::string summary;           // one line
  std::string description = {};  // more, for --help
  std::vector<Argument> arguments = {};
  std::function<ExitCode(Session&)> run = {};  // empty: a group of subcommands
  std::vector<Command> subcommands = {};
  bool hidden = false;
};

}  // namespace stele::osctl
