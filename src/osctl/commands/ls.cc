// osctl ls: what a directory of the node holds.
#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/files.h"
#include "osctl/output/format.h"
#include "osctl/output/humanize.h"
#include "osctl/output/resource.h"
#include "osctl/output/table.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::FileEntry;
using stele::machine::v1::ListFilesRequest;
using stele::machine::v1::ListFilesResponse;
using stele::machine::v1::Omission;

constexpr uint32_t kDeepest = 64;

struct Options {
  std::string path;
  bool recursive = false;
  uint32_t depth = 1;
  uint32_t most = 0;
  std::string output = "table";
};

struct Listing {
  std::vector<FileEntry> entries;
  std::vector<Omission> omissions;
};

// "-rw-r--r--", as ls has it.
std::string ModeText(const FileEntry& entry) {
  constexpr char kKinds[] = "?-dlpscb";
  int kind = entry.kind();
  std::string text(1, kind > 0 && kind < 8 ? kKinds[kind] : '?');
  for (int bit = 8; bit >= 0; --bit) text.push_back((entry.mode() & (1u << bit)) != 0 ? "xwr"[bit % 3] : '-');
  constexpr struct {
    uint32_t bit;
    size_t at;
    char with, without;
  } kSpecial[] = {{04000, 3, 's', 'S'}, {02000, 6, 's', 'S'}, {01000, 9, 't', 'T'}};
  for (const auto& special : kSpecial) {
    if ((entry.mode() & special.bit) != 0) text[special.at] = text[special.at] == 'x' ? special.with : special.without;
  }
  return text;
}

// Below the directory that was asked for, its name in it.
std::string NameText(const FileEntry& entry, const std::string& asked) {
  std::vector<absl::string_view> names = absl::StrSplit(asked, '/', absl::SkipEmpty());
  std::string folder = "/";
  for (absl::string_view name : names) absl::StrAppend(&folder, name, "/");
  std::string name(absl::StripPrefix(entry.path(), folder));
  if (entry.kind() == stele::machine::v1::FILE_KIND_DIRECTORY && !absl::EndsWith(name, "/")) name += "/";
  return entry.link_target().empty() ? name : absl::StrCat(name, " -> ", entry.link_target());
}

std::string ListingTable(const std::map<std::string, Listing>& found, const Options& options, bool several) {
  bool wide = options.output == "wide";
  std::vector<std::string> headers = {"MODE", "OWNER", "SIZE", wide ? "MODIFIED" : "AGE", "FOR", "NAME"};
  if (wide) headers.insert(headers.begin() + 3, {"ON DISK", "LINKS"});
  if (several) headers.insert(headers.begin(), "NODE");
  Table table(headers);
  for (const auto& [node, listing] : found) {
    for (const FileEntry& entry : listing.entries) {
      absl::Time modified =
          absl::FromUnixSeconds(entry.modified().seconds()) + absl::Nanoseconds(entry.modified().nanos());
      const auto* access = stele::machine::v1::Access_descriptor()->FindValueByNumber(entry.access());
      std::vector<std::string> cells = {ModeText(entry),
                                        absl::StrCat(entry.uid(), ":", entry.gid()),
                                        HumanBytes(entry.size_bytes()),
                                        wide ? Rfc3339(modified) : HumanAge(modified, absl::Now()),
                                        access == nullptr ? "" : EnumText(access),
                                        NameText(entry, options.path)};
      if (wide) cells.insert(cells.begin() + 3, {HumanBytes(entry.disk_bytes()), absl::StrCat(entry.links())});
      if (several) cells.insert(cells.begin(), node);
      table.AddRow(std::move(cells));
    }
  }
  return table.Render();
}

std::string StructuredListing(const std::map<std::string, Listing>& found, const Options& options, bool several) {
  Value items = Value::List(), omissions = Value::List();
  for (const auto& [node, listing] : found) {
    for (const FileEntry& entry : listing.entries) items.Append(NamedValue(several ? node : "", entry));
    for (const Omission& omission : listing.omissions) omissions.Append(NamedValue(several ? node : "", omission));
  }
  return Structured(Value::Map().Add("items", std::move(items)).Add("omissions", std::move(omissions)), options.output);
}

absl::Status ListNode(Node& node, const ListFilesRequest& request, Listing* listing) {
  absl::Status status = node.Stream<ListFilesRequest, ListFilesResponse>(
      method::kListFiles, request, [&](const ListFilesResponse& response) {
        listing->entries.insert(listing->entries.end(), response.entries().begin(), response.entries().end());
        listing->omissions.insert(listing->omissions.end(), response.omissions().begin(), response.omissions().end());
        return absl::OkStatus();
      });
  std::sort(listing->entries.begin(), listing->entries.end(),
            [](const FileEntry& a, const FileEntry& b) { return a.path() < b.path(); });
  return FileFailure(std::move(status));
}

ExitCode List(Session& session, const Options& options) {
  ListFilesRequest request;
  request.set_path(options.path);
  request.set_depth(options.recursive ? kDeepest : options.depth);
  request.set_max_entries(options.most);
  std::mutex mutex;
  std::map<std::string, Listing> found;
  ExitCode code = session.ForEachNode(absl::StrCat("ls ", options.path), [&](Node& node) -> absl::Status {
    Listing listing;
    RETURN_IF_ERROR(ListNode(node, request, &listing));
    TellOmissions(session, node, listing.omissions);
    std::lock_guard<std::mutex> lock(mutex);
    found[node.name()] = std::move(listing);
    return absl::OkStatus();
  });
  if (found.empty()) return code;
  bool several = session.several_nodes();
  session.console().Out(IsStructured(options.output) ? StructuredListing(found, options, several)
                                                     : ListingTable(found, options, several));
  return code;
}

}  // namespace

Command LsCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "ls";
  command.summary = "lists files of the nodes";
  command.description =
      "  osctl ls /                  where there is something to see\n"
      "  osctl ls /var/log/pods -R\n"
      "FOR is the least role that may read a file, or Nobody. Links are shown and never followed. What pods have\n"
      "mounted is not there: it is theirs.";
  command.arguments = {
      {"", "PATH", "a directory, or a file", &options->path, Presence::kRequired, Completion::kNodeFile},
      {"-R,--recursive", "", "with all that is below", &options->recursive},
      {"--depth", "N", "so many directories deep, at most 64; default 1", &options->depth},
      {"--max", "N", "end after so many entries, at most 100,000; default 10,000", &options->most},
      OutputArgument(&options->output, {"table", "wide", "json", "yaml"}),
  };
  command.run = [options](Session& session) { return List(session, *options); };
  return command;
}

}  // namespace stele::osctl
