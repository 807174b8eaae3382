#include "osctl/inventory.h"

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "osctl/client/address.h"
#include "osctl/failure.h"
#include "osctl/suggest.h"

namespace stele::osctl {
namespace {

using stele::config::v1::ClientClass;
using stele::config::v1::ClientContext;
using stele::config::v1::ClientNode;

constexpr char kAll[] = "all";

Target TargetOf(const ClientNode& node) {
  return {node.name(), node.address().empty() ? node.name() : node.address(), node.server_name()};
}

// The file's own mistakes, before anything is asked of it.
absl::Status CheckInventory(const ClientContext& context) {
  auto wrong = [&](absl::string_view why) {
    return LocalError(absl::StrCat("context ", context.name(), ": ", why),
                      "mend the file that `osctl context show` names");
  };
  std::set<std::string> names;
  for (const ClientNode& node : context.nodes()) {
    bool taken = node.name() == kAll || absl::StartsWith(node.name(), "@") || absl::StrContains(node.name(), ",");
    // `osctl support` has a folder of each node's name.
    bool leads_away = absl::StartsWith(node.name(), ".") || absl::StrContains(node.name(), "/");
    if (node.name().empty() || taken || leads_away)
      return wrong(absl::StrCat("a node cannot be named '", node.name(), "'"));
    if (!names.insert(node.name()).second) return wrong(absl::StrCat("two nodes are named ", node.name()));
  }
  std::set<std::string> classes;
  for (const ClientClass& group : context.classes()) {
    if (!classes.insert(group.name()).second) return wrong(absl::StrCat("two classes are named ", group.name()));
    if (absl::Status fits = LabelsFit(group.selector(), {}).status(); !fits.ok()) {
      return wrong(absl::StrCat("class ", group.name(), ": ", fits.message()));
    }
  }
  return absl::OkStatus();
}

// Collects targets, each once: the same node twice would do everything twice.
class Chosen {
 public:
  absl::Status Add(Target target) {
    ASSIGN_OR_RETURN(Address address, ParseAddress(target.address));
    if (seen_.insert(address.Text()).second) targets_.push_back(std::move(target));
    return absl::OkStatus();
  }
  std::vector<Target> Take() { return std::move(targets_); }

 private:
  std::vector<Target> targets_;
  std::set<std::string> seen_;
};

absl::Status AddAll(const ClientContext& context, Chosen* chosen) {
  // Named ones first: a node that is also an endpoint goes by its name.
  for (const ClientNode& node : context.nodes()) RETURN_IF_ERROR(chosen->Add(TargetOf(node)));
  for (const std::string& endpoint : context.endpoints()) RETURN_IF_ERROR(chosen->Add({endpoint, endpoint, ""}));
  return absl::OkStatus();
}

absl::StatusOr<std::string> SelectorOf(const ClientContext& context, const std::string& name) {
  std::vector<std::string> known;
  for (const ClientClass& group : context.classes()) {
    if (group.name() == name) return group.selector();
    known.push_back(group.name());
  }
  if (absl::StrContains(name, "=")) return name;
  return UsageError(absl::StrCat("context ", context.name(), " has no class '", name, "'", DidYouMean(name, known)),
                    known.empty() ? "add it under `classes`, or select by a label: -n @KEY=VALUE"
                                  : absl::StrCat("known are ", NamesOf(known)));
}

absl::Status AddClass(const ClientContext& context, const std::string& name, Chosen* chosen) {
  ASSIGN_OR_RETURN(std::string selector, SelectorOf(context, name));
  bool any = false;
  for (const ClientNode& node : context.nodes()) {
    absl::StatusOr<bool> fits = LabelsFit(selector, {node.labels().begin(), node.labels().end()});
    if (!fits.ok()) return UsageError(absl::StrCat("-n @", name, ": ", fits.status().message()));
    if (!*fits) continue;
    any = true;
    RETURN_IF_ERROR(chosen->Add(TargetOf(node)));
  }
  if (any) return absl::OkStatus();
  // Doing it to nobody must not look like success.
  return UsageError(absl::StrCat("no node of context ", context.name(), " fits @", name, " (", selector, ")"),
                    "see `osctl context nodes`");
}

absl::Status AddNode(const ClientContext& context, const std::string& name, Chosen* chosen) {
  for (const ClientNode& node : context.nodes()) {
    if (node.name() == name) return chosen->Add(TargetOf(node));
  }
  // "@zone=a,tier=db" is no class of both: it would be all of zone a, and a host.
  if (absl::StrContains(name, "=")) {
    return UsageError(absl::StrCat("-n ", name, ": no node is named so"),
                      "one label is @KEY=VALUE; for nodes with several, add a class under `classes`");
  }
  return chosen->Add({name, name, ""});
}

}  // namespace

absl::StatusOr<bool> LabelsFit(absl::string_view selector, const std::map<std::string, std::string>& labels) {
  bool fits = true;
  if (selector.empty()) return fits;
  for (absl::string_view condition : absl::StrSplit(selector, ',')) {
    condition = absl::StripAsciiWhitespace(condition);  // else "zone!=a, tier!=db" would take every tier
    bool denied = absl::ConsumePrefix(&condition, "!");
    size_t equals = condition.find('=');
    absl::string_view key = condition.substr(0, equals);
    bool differs = equals != absl::string_view::npos && absl::ConsumeSuffix(&key, "!");
    key = absl::StripAsciiWhitespace(key);
    if (key.empty() || key.find_first_of("! \t") != absl::string_view::npos ||
        (denied && equals != absl::string_view::npos)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "'", selector, "' is no selector: expected KEY=VALUE, KEY!=VALUE, KEY or !KEY, with commas between"));
    }
    auto label = labels.find(std::string(key));
    bool there = label != labels.end();
    absl::string_view value =
        equals == absl::string_view::npos ? "" : absl::StripAsciiWhitespace(condition.substr(equals + 1));
    bool holds = there && (equals == absl::string_view::npos || label->second == value);
    if (holds == (denied || differs)) fits = false;
  }
  return fits;
}

absl::StatusOr<std::vector<Target>> ChooseTargets(const ClientContext& context,
                                                  const std::vector<std::string>& wanted) {
  RETURN_IF_ERROR(CheckInventory(context));
  Chosen chosen;
  for (const std::string& list : wanted) {
    std::vector<std::string> names = absl::StrSplit(list, ',', absl::SkipEmpty());
    for (const std::string& name : names) {
      if (name == kAll) {
        RETURN_IF_ERROR(AddAll(context, &chosen));
      } else if (name[0] == '@') {
        RETURN_IF_ERROR(AddClass(context, name.substr(1), &chosen));
      } else {
        RETURN_IF_ERROR(AddNode(context, name, &chosen));
      }
    }
  }
  std::vector<Target> targets = chosen.Take();
  if (!targets.empty()) return targets;
  Chosen all;
  RETURN_IF_ERROR(AddAll(context, &all));
  std::vector<Target> known = all.Take();
  if (known.empty()) return UsageError(absl::StrCat("context ", context.name(), " has no nodes"), "name one with -n");
  if (known.size() == 1) return known;
  std::vector<std::string> all_names;
  for (const Target& target : known) all_names.push_back(target.name);
  return UsageError(absl::StrCat("context ", context.name(), " has several nodes"),
                    absl::StrCat("choose with -n, or -n all: ", NamesOf(all_names)));
}

std::string NamesOf(const std::vector<std::string>& names, size_t most) {
  if (names.size() <= most) return absl::StrJoin(names, ", ");
  return absl::StrCat(absl::StrJoin(names.begin(), names.begin() + static_cast<ptrdiff_t>(most), ", "), " and ",
                      names.size() - most, " more");
}

}  // namespace stele::osctl
