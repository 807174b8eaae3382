#include "osctl/completion.h"

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace stele::osctl {
namespace {

const Argument* FindOption(const std::vector<const Command*>& path, const std::string& name) {
  for (auto command = path.rbegin(); command != path.rend(); ++command) {
    for (const Argument& argument : (*command)->arguments) {
      for (absl::string_view each : absl::StrSplit(argument.names, ',')) {
        if (!argument.positional() && each == name) return &argument;
      }
    }
  }
  return nullptr;
}

CompletionQuestion ValueOf(const Argument& argument) { return {argument.completion, argument.choices, {}}; }

std::vector<std::string> OptionNames(const std::vector<const Command*>& path) {
  std::vector<std::string> names = {"--help"};
  for (const Command* command : path) {
    for (const Argument& argument : command->arguments) {
      if (argument.positional()) continue;
      for (absl::string_view each : absl::StrSplit(argument.names, ',')) {
        if (absl::StartsWith(each, "--")) names.emplace_back(each);
      }
    }
  }
  return names;
}

CompletionQuestion PositionalOf(const Command& command, std::vector<std::string> given) {
  size_t index = 0;
  for (const Argument& argument : command.arguments) {
    if (!argument.positional()) continue;
    if (index == given.size() || argument.repeated()) {
      CompletionQuestion question = ValueOf(argument);
      question.positionals = std::move(given);
      return question;
    }
    ++index;
  }
  return {};
}

}  // namespace

CompletionQuestion WhatFits(const Command& root, const std::vector<std::string>& words) {
  std::vector<const Command*> path = {&root};
  std::vector<std::string> positionals;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (absl::StartsWith(word, "-")) {
      const Argument* option = FindOption(path, word);
      if (option == nullptr || option->flag()) continue;
      if (i + 2 == words.size()) return ValueOf(*option);
      ++i;  // its value
      continue;
    }
    const Command* next = nullptr;
    for (const Command& child : path.back()->subcommands) {
      if (child.name == word) next = &child;
    }
    if (next != nullptr) {
      path.push_back(next);
    } else {
      positionals.push_back(word);
    }
  }
  if (!words.empty() && absl::StartsWith(words.back(), "-")) {
    size_t equals = words.back().find('=');
    if (equals == std::string::npos) return {Completion::kNone, OptionNames(path), {}};
    const Argument* option = FindOption(path, words.back().substr(0, equals));
    return option == nullptr ? CompletionQuestion{} : ValueOf(*option);
  }
  if (!path.back()->subcommands.empty()) {
    CompletionQuestion question;
    for (const Command& child : path.back()->subcommands) {
      if (!child.hidden) question.candidates.push_back(child.name);
    }
    return question;
  }
  return PositionalOf(*path.back(), std::move(positionals));
}

}  // namespace stele::osctl
