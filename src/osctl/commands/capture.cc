// osctl capture: a node's packets as a pcap file.
#include <fcntl.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/str_join.h"
#include "base/file.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/network.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"
#include "osctl/stop_on_interrupt.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::CaptureRequest;
using stele::machine::v1::CaptureResponse;
using stele::machine::v1::CaptureSummary;

struct Options {
  std::vector<std::string> filter;
  std::string interface;
  std::string file;
  uint32_t count = 0;
  uint32_t snap_length = 0;
  absl::Duration duration = absl::ZeroDuration();
  uint32_t megabytes = 0;
  bool with_api = false;
};

CaptureRequest RequestOf(const Options& options) {
  CaptureRequest request;
  request.set_interface(options.interface);
  request.set_filter(absl::StrJoin(options.filter, " "));
  request.set_snap_length(options.snap_length);
  request.set_max_packets(options.count);
  if (options.duration != absl::ZeroDuration()) ToProtoDuration(options.duration, request.mutable_duration());
  request.set_max_bytes(uint64_t{options.megabytes} << 20);
  request.set_include_api(options.with_api);
  return request;
}

// Whole pieces to a file or to stdout, whichever it is.
class Sink {
 public:
  static absl::StatusOr<Sink> Open(Console& console, const std::string& path) {
    if (path.empty() || path == "-") return Sink(console, {});
    UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));  // others' secrets
    if (!file.ok()) return LocalError(ErrnoStatus("write ", path).message());
    return Sink(console, std::move(file));
  }
  absl::Status Write(absl::string_view bytes) {
    if (file_.ok()) {
      absl::Status written = WriteAll(file_.get(), bytes);
      return written.ok() ? written : LocalError(written.message());
    }
    console_->Out(bytes);
    return absl::OkStatus();
  }

 private:
  Sink(Console& console, UniqueFd file) : console_(&console), file_(std::move(file)) {}
  Console* console_;
  UniqueFd file_;
};

std::string SummaryLine(const CaptureSummary& summary) {
  std::string line =
      absl::StrCat(summary.packets(), " packets, ", HumanBytes(summary.bytes()), ", ", summary.dropped(), " dropped");
  if (!summary.end().empty()) absl::StrAppend(&line, "; ended by ", Plain(summary.end()));
  return line;
}

absl::Status CaptureNode(Node& node, Session& session, StopOnInterrupt& stop, const Options& options) {
  absl::StatusOr<Sink> sink = Sink::Open(session.console(), options.file);
  if (!sink.ok()) return sink.status();
  CaptureSummary last;
  bool begun = false;
  absl::Status status = stop.During(node, [&] {
    return node.Stream<CaptureRequest, CaptureResponse>(method::kCapture, RequestOf(options),
                                                        [&](const CaptureResponse& response) {
                                                          RETURN_IF_ERROR(sink->Write(response.chunk()));
                                                          last = response.summary();
                                                          if (!std::exchange(begun, true))
                                                            session.Tell(node, "osctl: capturing; Ctrl-C ends it");
                                                          session.console().Status(SummaryLine(last));
                                                          return absl::OkStatus();
                                                        });
  });
  session.console().Status("");
  if (begun) session.Tell(node, absl::StrCat("osctl: ", SummaryLine(last)));
  return status;
}

ExitCode Capture(Session& session, const Options& options) {
  bool to_stdout = options.file.empty() || options.file == "-";
  if (to_stdout && session.console().OutIsTerminal()) {
    return session.Report(
        "", UsageError("a capture is not for a terminal", "write it with -w FILE, or pipe it: | tcpdump -r -"));
  }
  absl::StatusOr<std::vector<Target>> nodes = session.Targets();
  if (!nodes.ok()) return session.Report("", nodes.status());
  if (nodes->size() > 1) return session.Report("", UsageError("a capture is of one node", "name it with -n"));
  StopOnInterrupt stop;
  return session.ForEachNode("capture", [&](Node& node) { return CaptureNode(node, session, stop, options); });
}

}  // namespace

Command CaptureCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "capture";
  command.summary = "records a node's packets as a pcap file";
  command.description =
      "Until Ctrl-C or a limit. The kernel copies only what the filter takes; its words are tcpdump's:\n"
      "  host, net, port, portrange with src or dst; ip, ip6, arp, tcp, udp, sctp, icmp, icmp6; proto N; and, or, not, "
      "( )\n"
      "  osctl capture -i eth0 -w trace.pcap tcp port 6443 and not host 10.0.0.1\n"
      "  osctl capture udp port 53 | tcpdump -nr -\n"
      "The API's own traffic, TCP port 50000, is left out unless --with-api. For administrators.";
  command.arguments = {
      {"", "FILTER", "which packets; default: all", &options->filter},
      {"-i,--interface", "NAME", "default any: all of them", &options->interface},
      {"-w,--write", "FILE", "default stdout", &options->file, Presence::kOptional, Completion::kFile},
      {"-c,--count", "N", "end after so many packets", &options->count},
      {"-s,--snap-length", "BYTES", "of each packet, 14 to 65535; default all", &options->snap_length},
      {"-t,--duration", "DURATION", "end after that, at most 30m; default 10m", &options->duration},
      {"--max-size", "MIB", "end before the file is larger, at most 4096; default 256", &options->megabytes},
      {"--with-api", "", "also the API's traffic, but for this capture's own", &options->with_api},
  };
  command.run = [options](Session& session) { return Capture(session, *options); };
  return command;
}

}  // namespace stele::osctl
