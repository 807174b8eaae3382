// osctl du: what directories of the node take on the disk.
#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "osctl/commands/commands.h"
#include "osctl/commands/files.h"
#include "osctl/output/format.h"
#include "osctl/output/humanize.h"
#include "osctl/output/table.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::DirectoryUsage;
using stele::machine::v1::DiskUsageRequest;
using stele::machine::v1::DiskUsageResponse;
using stele::machine::v1::Omission;

struct Options {
  std::string path;
  uint32_t depth = 1;
  bool cross_mounts = false;
  std::string output = "table";
};

struct Usage {
  std::vector<DirectoryUsage> directories;  // the largest first
  std::vector<Omission> omissions;
};

std::string UsageTable(const std::map<std::string, Usage>& found, bool wide, bool several) {
  std::vector<std::string> headers = {"ON DISK", "FILES", "PATH"};
  if (wide) headers.insert(headers.begin() + 1, {"SIZE", "DIRECTORIES"});
  if (several) headers.insert(headers.begin(), "NODE");
  Table table(headers);
  for (const auto& [node, usage] : found) {
    for (const DirectoryUsage& each : usage.directories) {
      std::vector<std::string> cells = {HumanBytes(each.disk_bytes()), absl::StrCat(each.files()), each.path()};
      if (wide) cells.insert(cells.begin() + 1, {HumanBytes(each.size_bytes()), absl::StrCat(each.directories())});
      if (several) cells.insert(cells.begin(), node);
      table.AddRow(std::move(cells));
    }
  }
  return table.Render();
}

std::string StructuredUsage(const std::map<std::string, Usage>& found, const std::string& output, bool several) {
  Value items = Value::List(), omissions = Value::List();
  for (const auto& [node, usage] : found) {
    for (const DirectoryUsage& each : usage.directories) items.Append(NamedValue(several ? node : "", each));
    for (const Omission& omission : usage.omissions) omissions.Append(NamedValue(several ? node : "", omission));
  }
  return Structured(Value::Map().Add("items", std::move(items)).Add("omissions", std::move(omissions)), output);
}

absl::Status CountNode(Node& node, const DiskUsageRequest& request, Usage* usage) {
  absl::Status status = node.Stream<DiskUsageRequest, DiskUsageResponse>(
      method::kDiskUsage, request, [&](const DiskUsageResponse& response) {
        usage->directories.insert(usage->directories.end(), response.directories().begin(),
                                  response.directories().end());
        usage->omissions.insert(usage->omissions.end(), response.omissions().begin(), response.omissions().end());
        return absl::OkStatus();
      });
  std::stable_sort(usage->directories.begin(), usage->directories.end(),
                   [](const DirectoryUsage& a, const DirectoryUsage& b) {
                     return a.disk_bytes() != b.disk_bytes() ? a.disk_bytes() > b.disk_bytes() : a.path() < b.path();
                   });
  return FileFailure(std::move(status));
}

ExitCode Count(Session& session, const Options& options) {
  DiskUsageRequest request;
  request.set_path(options.path);
  request.set_depth(options.depth);
  request.set_cross_mounts(options.cross_mounts);
  std::mutex mutex;
  std::map<std::string, Usage> found;
  ExitCode code = session.ForEachNode(absl::StrCat("du ", options.path), [&](Node& node) -> absl::Status {
    Usage usage;
    RETURN_IF_ERROR(CountNode(node, request, &usage));
    TellOmissions(session, node, usage.omissions);
    std::lock_guard<std::mutex> lock(mutex);
    found[node.name()] = std::move(usage);
    return absl::OkStatus();
  });
  if (found.empty()) return code;
  bool several = session.several_nodes();
  session.console().Out(IsStructured(options.output) ? StructuredUsage(found, options.output, several)
                                                     : UsageTable(found, options.output == "wide", several));
  return code;
}

}  // namespace

Command DuCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "du";
  command.summary = "shows what directories of the nodes take on the disk";
  command.description =
      "  osctl du /var --depth 3\n"
      "The largest first, so the sum of all begins. Everything below is counted, also what is too deep to be shown or\n"
      "not for this role to be named; hard links once; other file systems not.";
  command.arguments = {
      {"", "PATH", "a directory, or a file", &options->path, Presence::kRequired, Completion::kNodeFile},
      {"--depth", "N", "show directories so deep, at most 64; default 1", &options->depth},
      {"--cross-mounts", "", "also count what is mounted below", &options->cross_mounts},
      OutputArgument(&options->output, {"table", "wide", "json", "yaml"}),
  };
  command.run = [options](Session& session) { return Count(session, *options); };
  return command;
}

}  // namespace stele::osctl
