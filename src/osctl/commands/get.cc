// osctl get: resources of any type, once or as they change (watch.cc).
#include "osctl/commands/get.h"

#include <algorithm>
#include <map>
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/output/format.h"
#include "osctl/output/resource.h"
#include "osctl/output/table.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::GetRequest;
using stele::machine::v1::ListRequest;
using stele::machine::v1::Resource;

// Digits compare as numbers, so that process 9 comes before 10.
bool NaturalLess(const std::string& a, const std::string& b) {
  bool numbers = !a.empty() && !b.empty() && a.find_first_not_of("0123456789") == std::string::npos &&
                 b.find_first_not_of("0123456789") == std::string::npos;
  if (numbers && a.size() != b.size()) return a.size() < b.size();
  return a < b;
}

absl::StatusOr<std::vector<Resource>> Fetch(Node& node, const GetOptions& options) {
  std::vector<Resource> resources;
  if (options.ids.empty()) {
    ListRequest request;
    request.set_type(options.type);
    request.set_field_selector(options.field_selector);
    request.set_label_selector(options.label_selector);
    ASSIGN_OR_RETURN(auto response, node.Call(method::kList, request));
    resources.assign(response.resources().begin(), response.resources().end());
    std::stable_sort(resources.begin(), resources.end(),
                     [](const Resource& a, const Resource& b) { return NaturalLess(a.id(), b.id()); });
  }
  for (const std::string& id : options.ids) {
    GetRequest request;
    request.set_type(options.type);
    request.set_id(id);
    ASSIGN_OR_RETURN(auto response, node.Call(method::kGet, request));
    resources.push_back(std::move(*response.mutable_resource()));
  }
  return resources;
}

using Found = std::map<std::string, std::vector<Resource>>;  // by node

std::string RenderTable(const Found& found, const GetOptions& options, bool several) {
  Width width = options.output == "wide" ? Width::kWide : Width::kNormal;
  std::vector<std::string> headers = ResourceHeaders(options.known, width);
  if (several) headers.insert(headers.begin(), "NODE");
  Table table(headers);
  for (const auto& [node, resources] : found) {
    for (const Resource& resource : resources) {
      std::vector<std::string> cells = ResourceCells(options.known, resource, width, absl::Now());
      if (several) cells.insert(cells.begin(), node);
      table.AddRow(std::move(cells));
    }
  }
  return table.Render();
}

std::string RenderNames(const Found& found, const GetOptions& options) {
  std::string out;
  for (const auto& [node, resources] : found) {
    for (const Resource& resource : resources) absl::StrAppend(&out, options.type, "/", resource.id(), "\n");
  }
  return out;
}

// One resource asked for by id is itself; anything else is a list under "items", as kubectl has it.
std::string RenderStructured(const Found& found, const GetOptions& options, bool several) {
  Value list = Value::List();
  for (const auto& [node, resources] : found) {
    for (const Resource& resource : resources) list.Append(ResourceValue(resource, several ? node : ""));
  }
  if (!several && options.ids.size() == 1) return Structured(list.items().front().second, options.output);
  return Structured(Value::Map().Add("items", std::move(list)), options.output);
}

ExitCode GetOnce(Session& session, const GetOptions& options) {
  std::mutex mutex;
  Found found;
  ExitCode code = session.ForEachNode(absl::StrCat("get ", options.type), [&](Node& node) -> absl::Status {
    ASSIGN_OR_RETURN(std::vector<Resource> resources, Fetch(node, options));
    std::lock_guard<std::mutex> lock(mutex);
    found[node.name()] = std::move(resources);
    return absl::OkStatus();
  });
  if (found.empty()) return code;
  bool several = session.several_nodes();
  if (options.output == "name") {
    session.console().Out(RenderNames(found, options));
  } else if (IsStructured(options.output)) {
    session.console().Out(RenderStructured(found, options, several));
  } else {
    bool none = true;
    for (const auto& [node, resources] : found) none = none && resources.empty();
    if (none && code == ExitCode::kOk) session.console().Err(absl::StrCat("no ", options.type, "\n"));
    if (!none) session.console().Out(RenderTable(found, options, several));
  }
  return code;
}

ExitCode Get(Session& session, GetOptions options) {
  // An unknown name goes to the node as it is: a newer one may know it.
  options.known = FindResourceType(options.type);
  if (options.known != nullptr) options.type = options.known->name;
  bool selects = !options.field_selector.empty() || !options.label_selector.empty();
  if (selects && !options.ids.empty()) return session.Report("", UsageError("either IDs or a selector"));
  if (!options.resume.empty() && !options.watch) return session.Report("", UsageError("--resume is for --watch"));
  if (!options.watch) return GetOnce(session, options);
  if (options.ids.size() > 1) return session.Report("", UsageError("-w takes one ID at most"));
  return Watch(session, options);
}

// "Types: a, b, …", in lines of a terminal's width.
std::string TypeNames() {
  std::string out = "Types:";
  size_t begin = 0;
  for (const ResourceType& type : ResourceTypes()) {
    bool wraps = out.size() - begin + type.name.size() > 96;
    if (wraps) begin = out.size() + 1;
    absl::StrAppend(&out, wraps ? "\n  " : " ", type.name);
  }
  return out + "\n";
}

}  // namespace

Command GetCommandOf(const std::string& type) {
  auto options = std::make_shared<GetOptions>();
  options->type = type;
  Command command;
  command.arguments = {
      {"-w,--watch", "", "go on, with a line for each change", &options->watch},
      OutputArgument(&options->output),
  };
  command.run = [options](Session& session) { return Get(session, *options); };
  return command;
}

Command GetCommand() {
  auto options = std::make_shared<GetOptions>();
  Command command;
  command.name = "get";
  command.summary = "shows resources: services, pods, links, phases, …";
  command.description = absl::StrCat(
      TypeNames(), "`osctl get types` shows what the node knows, with short names.\n",
      "Times are ages; -o wide shows them in full, and more columns. json and yaml hold the protos' JSON,\n"
      "several resources under `items`; jsonpath=TEMPLATE picks from it as kubectl's does:\n"
      "`osctl get services -o jsonpath='{range .items[*]}{.id}{\"\\t\"}{.body.pid}{\"\\n\"}{end}'`.\n"
      "--field-selector takes conditions on a resource's fields, which the node checks: `state=running,pid!=0`,\n"
      "`remote=*:443`. Enums without their prefix, * stands for anything. -l takes conditions on labels, as kubectl's\n"
      "does: `app=web,tier in (front,back),!canary`. A watch in json shows a cursor with each change, from which\n"
      "--resume goes on; one that is too old is refused: watch again without it.");
  command.arguments = {
      {"", "TYPE", "the type, or a short name of it", &options->type, Presence::kRequired, Completion::kResourceType},
      {"", "ID", "only these", &options->ids, Presence::kOptional, Completion::kResourceId},
      {"-w,--watch", "", "go on, with a line for each change", &options->watch},
      {"--field-selector", "FIELD=VALUE,…", "only those of which this holds", &options->field_selector},
      {"-l,--selector", "KEY=VALUE,…", "only those whose labels are so", &options->label_selector},
      {"--resume", "CURSOR", "with -w: only what changed since", &options->resume},
      OutputArgument(&options->output),
  };
  command.run = [options](Session& session) { return Get(session, *options); };
  return command;
}

}  // namespace stele::osctl
