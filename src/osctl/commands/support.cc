// osctl support: what somebody else needs to understand a node, in one file.
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "osctl/commands/commands.h"
#include "osctl/output/bundle.h"
#include "osctl/output/humanize.h"
#include "osctl/output/progress.h"
#include "osctl/output/resource.h"
#include "osctl/session.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::osctl {
namespace {

namespace v1 = stele::machine::v1;

// Of one log or of the events, in the bundle and in memory; the rest is left out, which the summary says.
constexpr size_t kMaxText = 16 << 20;
constexpr absl::Duration kPatience = absl::Minutes(2);  // of one log

struct Options {
  std::string file;
  uint32_t lines = 10'000;
  bool containers = false;
};

absl::StatusOr<std::string> ReadVersion(Node& node) {
  ASSIGN_OR_RETURN(v1::VersionResponse version, node.Call(method::kVersion, {}));
  return ToJson(FromProto(version));
}

absl::StatusOr<std::string> ReadConfig(Node& node) {
  ASSIGN_OR_RETURN(v1::GetConfigResponse config, node.Call(method::kGetConfig, {}));
  return config.yaml();
}

absl::StatusOr<std::string> ReadConfigHistory(Node& node) {
  ASSIGN_OR_RETURN(v1::ConfigHistoryResponse history, node.Call(method::kConfigHistory, {}));
  return ToJson(FromProto(history));
}

absl::StatusOr<std::string> ReadMetrics(Node& node) {
  ASSIGN_OR_RETURN(v1::GetMetricsResponse metrics, node.Call(method::kGetMetrics, {}));
  return metrics.text();
}

// What a stream gives, as `text_of` makes it of each message. One that breaks off ends with a line that says so;
// without anything before it is an error.
template <typename Request, typename Response>
absl::StatusOr<std::string> ReadStream(Node& node, const Method<Flow::kServerStream, Request, Response>& method,
                                       const Request& request,
                                       const std::function<std::string(const Response&)>& text_of) {
  std::string text;
  bool full = false;
  absl::Status status = node.Stream<Request, Response>(method, request, [&](const Response& response) {
    std::string more = text_of(response);
    full = text.size() + more.size() > kMaxText;
    if (full) return absl::CancelledError("enough");
    text += more;
    return absl::OkStatus();
  });
  if (full) return absl::StrCat(text, "[osctl: the rest is left out: it is more than ", HumanBytes(kMaxText), "]\n");
  if (status.ok()) return text;
  if (text.empty()) return status;
  return absl::StrCat(text, "[osctl: the rest is missing: ", status.message(), "]\n");
}

absl::StatusOr<std::string> ReadEvents(Node& node) {
  return ReadStream<v1::StreamEventsRequest, v1::StreamEventsResponse>(
      node, method::kStreamEvents, {},
      [](const v1::StreamEventsResponse& response) { return ToJson(FromProto(response.event()), Layout::kOneLine); });
}

absl::StatusOr<std::vector<v1::Resource>> List(Node& node, const std::string& type) {
  v1::ListRequest request;
  request.set_type(type);
  ASSIGN_OR_RETURN(v1::ListResponse response, node.Call(method::kList, request));
  return std::vector<v1::Resource>(response.resources().begin(), response.resources().end());
}

absl::StatusOr<std::string> ReadResources(Node& node, const std::string& type) {
  ASSIGN_OR_RETURN(std::vector<v1::Resource> resources, List(node, type));
  Value all = Value::List();
  for (const v1::Resource& resource : resources) all.Append(ResourceValue(resource, ""));
  return ToJson(all);
}

absl::StatusOr<std::string> ReadLogText(Node& node, v1::ReadLogRequest request, uint32_t lines) {
  request.set_tail_lines(lines);
  return ReadStream<v1::ReadLogRequest, v1::ReadLogResponse>(
      node, method::kReadLog, request, [](const v1::ReadLogResponse& response) { return response.data(); });
}

// One node's part of the bundle.
class Collection {
 public:
  Collection(Session& session, Bundle& bundle, Progress& progress, Node& node, const Options& options)
      : session_(session), bundle_(bundle), progress_(progress), node_(node), options_(options) {}

  absl::Status Run() {
    // A node that does not answer has nothing to give; whatever else is missing is told in the summary.
    RETURN_IF_ERROR(Put("version.json", ReadVersion(node_), kMustBe));
    node_.set_stream_limit(kPatience);
    RETURN_IF_ERROR(Put("config.yaml", ReadConfig(node_)));
    RETURN_IF_ERROR(Put("config-history.json", ReadConfigHistory(node_)));
    RETURN_IF_ERROR(Put("events.jsonl", ReadEvents(node_)));
    RETURN_IF_ERROR(Put("metrics.txt", ReadMetrics(node_)));
    RETURN_IF_ERROR(PutResources());
    RETURN_IF_ERROR(PutLogs());
    RETURN_IF_ERROR(bundle_.Add(Name("summary.txt"), summary_));
    session_.Tell(node_, missing_ == 0
                             ? absl::StrCat(files_, " files")
                             : absl::StrCat(files_, " files, ", missing_, " could not be had: summary.txt says why"));
    return absl::OkStatus();
  }

 private:
  enum Need : unsigned char { kMayBe, kMustBe };

  // Names of nodes and of what is on them are not ours: none shall lead out of its folder.
  static std::string Plain(absl::string_view name) { return absl::StrReplaceAll(name, {{"/", "_"}}); }
  std::string Name(absl::string_view file) const { return absl::StrCat(Plain(node_.name()), "/", file); }

  absl::Status Put(const std::string& file, const absl::StatusOr<std::string>& text, Need need = kMayBe) {
    if (!text.ok() && need == kMustBe) return text.status();
    if (!text.ok()) {
      ++missing_;
      absl::StrAppend(&summary_, file, ": not there: ", text.status().message(), "\n");
      return absl::OkStatus();
    }
    ++files_;
    progress_.Say(session_.Label(node_), absl::StrCat("gathers, ", files_, " files"));
    absl::StrAppend(&summary_, file, ": ", text->size(), " bytes\n");
    return bundle_.Add(Name(file), *text);
  }

  absl::Status PutResources() {
    absl::StatusOr<std::vector<v1::Resource>> types = List(node_, "types");
    if (!types.ok()) return Put("resources", types.status());
    for (const v1::Resource& type : *types)
      RETURN_IF_ERROR(Put(absl::StrCat("resources/", Plain(type.id()), ".json"), ReadResources(node_, type.id())));
    return absl::OkStatus();
  }

  absl::Status PutLogs() {
    v1::ReadLogRequest kernel, audit;
    kernel.mutable_kernel();
    RETURN_IF_ERROR(PutLog("kernel", kernel));
    audit.mutable_audit();
    RETURN_IF_ERROR(Put("logs/audit.log", ReadLogText(node_, audit, options_.lines)));
    absl::StatusOr<std::vector<v1::Resource>> services = List(node_, "services");
    if (!services.ok()) return Put("logs", services.status());
    std::vector<std::string> names = {"init"};
    for (const v1::Resource& service : *services) names.push_back(service.id());
    for (const std::string& name : names) {
      v1::ReadLogRequest request;
      request.set_service(name);
      RETURN_IF_ERROR(PutLog(name, request));
    }
    if (!options_.containers) return absl::OkStatus();
    RETURN_IF_ERROR(PutContainerLogs());
    return PutLogsOfWhatIsGone();
  }

  // A log, and what was kept of it from the boot before: of most boots that is nothing, and nothing is missing then.
  absl::Status PutLog(const std::string& name, v1::ReadLogRequest request) {
    std::string file = absl::StrCat(Plain(name), ".log");
    RETURN_IF_ERROR(Put(absl::StrCat("logs/", file), ReadLogText(node_, request, options_.lines)));
    request.set_previous_boot(true);
    absl::StatusOr<std::string> before = ReadLogText(node_, request, options_.lines);
    if (absl::IsNotFound(before.status())) return absl::OkStatus();
    return Put(absl::StrCat("logs/previous-boot/", file), before);
  }

  absl::Status PutContainerLogs() {
    absl::StatusOr<std::vector<v1::Resource>> containers = List(node_, "containers");
    if (!containers.ok()) return Put("logs/containers", containers.status());
    for (const v1::Resource& container : *containers) {
      v1::ReadLogRequest request;
      request.mutable_container()->set_container(container.id());
      std::string file = absl::StrCat("logs/containers/", Plain(container.id()), ".log");
      RETURN_IF_ERROR(Put(file, ReadLogText(node_, request, options_.lines)));
    }
    return absl::OkStatus();
  }

  // Of pods that are gone. Their newest run: that is what a name stands for.
  absl::Status PutLogsOfWhatIsGone() {
    absl::StatusOr<std::vector<v1::Resource>> kept = List(node_, "keptlogs");
    if (!kept.ok()) return Put("logs/gone", kept.status());
    std::set<std::string> gone;
    for (const v1::Resource& resource : *kept) {
      resource::v1::KeptLog log;
      if (resource.body().UnpackTo(&log) && log.gone()) gone.insert(absl::StrCat(log.pod(), "/", log.container()));
    }
    for (const std::string& name : gone) {
      v1::ReadLogRequest request;
      request.mutable_container()->set_container(name);
      RETURN_IF_ERROR(
          Put(absl::StrCat("logs/gone/", Plain(name), ".log"), ReadLogText(node_, request, options_.lines)));
    }
    return absl::OkStatus();
  }

  Session& session_;
  Bundle& bundle_;
  Progress& progress_;
  Node& node_;
  const Options& options_;
  std::string summary_;
  int files_ = 0, missing_ = 0;
};

ExitCode Support(Session& session, const Options& options) {
  absl::Time now = absl::Now();
  std::string path = options.file;
  if (path.empty()) path = absl::FormatTime("stele-support-%Y%m%dT%H%M%SZ.tar.gz", now, absl::UTCTimeZone());
  Bundle bundle(path, now);
  if (absl::Status opened = bundle.Open(); !opened.ok()) return session.Report("", opened);
  Progress progress(session.console());
  ExitCode code = session.ForEachNode("support", [&](Node& node) {
    absl::Status status = Collection(session, bundle, progress, node, options).Run();
    progress.End(session.Label(node));
    return status;
  });
  if (bundle.empty()) return code;
  absl::StatusOr<uint64_t> size = bundle.Finish();
  if (!size.ok()) return session.Report("", size.status());
  session.console().Err(
      absl::StrCat("osctl: ", path, ", ", HumanBytes(*size), ": look through it before you give it away\n"));
  return code;
}

}  // namespace

Command SupportCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "support";
  command.summary = "gathers what is needed to understand nodes, in one file";
  command.description =
      "  osctl -n node-1,node-2 support -f case-17.tar.gz\n"
      "Versions, the configuration without its secrets, events, figures, every type of resource, the audit, and\n"
      "the logs of services and of the kernel, also what was kept of the boot before; with --containers those of\n"
      "containers and of pods that are gone, which may hold anything. What a node does not give is named in its\n"
      "summary.txt, and nothing is asked that changes a node.";
  command.arguments = {
      {"-f,--file", "FILE", "default stele-support-TIME.tar.gz", &options->file, Presence::kOptional,
       Completion::kFile},
      {"--lines", "N", "of each log, the last ones; default 10000", &options->lines},
      {"--containers", "", "the logs of containers, too, and of those that are gone", &options->containers},
  };
  command.run = [options](Session& session) { return Support(session, *options); };
  return command;
}

}  // namespace stele::osctl
