// osctl top: a node's processes, live; or a table of them.
#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/str_format.h"
#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"
#include "osctl/output/table.h"
#include "osctl/screen/followers.h"
#include "osctl/screen/terminal.h"
#include "osctl/screen/top_view.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

constexpr absl::Duration kShortest = absl::Milliseconds(200);

struct Options {
  absl::Duration interval = absl::Seconds(2);
  std::string sort = "cpu";
  bool once = false;
};

TopOrder OrderOf(const std::string& sort) {
  return sort == "memory" ? TopOrder::kMemory : sort == "pid" ? TopOrder::kPid : TopOrder::kCpu;
}

absl::Status ReadProcesses(Node& node, TopNode* top) {
  stele::machine::v1::ListRequest request;
  request.set_type("processes");
  ASSIGN_OR_RETURN(auto response, node.Call(method::kList, request));
  top->processes.Read(response, absl::Now());
  return absl::OkStatus();
}

// Two readings, and a table of what was between them.
ExitCode Print(Session& session, const Options& options) {
  std::mutex mutex;
  std::map<std::string, TopNode> nodes;
  ExitCode code = session.ForEachNode("top", [&](Node& node) -> absl::Status {
    TopNode top;
    RETURN_IF_ERROR(ReadProcesses(node, &top));
    absl::SleepFor(options.interval);
    RETURN_IF_ERROR(ReadProcesses(node, &top));
    std::lock_guard<std::mutex> lock(mutex);
    nodes[node.name()] = std::move(top);
    return absl::OkStatus();
  });
  if (nodes.empty()) return code;
  std::vector<std::string> headers = {"PID", "CPU%", "PSS", "RSS", "S", "CGROUP", "COMMAND"};
  if (session.several_nodes()) headers.insert(headers.begin(), "NODE");
  Table table(headers);
  for (const auto& [name, node] : nodes) {
    for (const TopRow& row : TopRows(node, node.processes.heard(), OrderOf(options.sort))) {
      std::vector<std::string> cells = {absl::StrCat(row.pid),
                                        absl::StrFormat("%.1f", row.cpu),
                                        HumanBytes(row.pss),
                                        HumanBytes(row.rss),
                                        row.state,
                                        row.cgroup,
                                        row.command};
      if (session.several_nodes()) cells.insert(cells.begin(), name);
      table.AddRow(std::move(cells));
    }
  }
  session.console().Out(table.Render());
  return code;
}

// False: leave.
bool Press(const KeyPress& press, size_t page, TopLook* look) {
  switch (press.key) {
    case Key::kGone:
    case Key::kEscape:
      return false;
    case Key::kDown:
      ++look->first;
      break;
    case Key::kUp:
      look->first -= std::min<size_t>(look->first, 1);
      break;
    case Key::kPageDown:
      look->first += page;
      break;
    case Key::kPageUp:
      look->first -= std::min(look->first, page);
      break;
    case Key::kHome:
      look->first = 0;
      break;
    case Key::kEnd:
      look->first = SIZE_MAX;
      break;
    default:
      break;
  }
  switch (press.character) {
    case 'q':
      return false;
    case 'c':
      *look = {TopOrder::kCpu, 0, look->kernel_threads};
      break;
    case 'm':
      *look = {TopOrder::kMemory, 0, look->kernel_threads};
      break;
    case 'p':
      *look = {TopOrder::kPid, 0, look->kernel_threads};
      break;
    case 'k':
      look->kernel_threads = !look->kernel_threads;
      break;
    default:
      break;
  }
  return true;
}

// What the screen and the threads that read share.
struct Shared {
  std::mutex mutex;
  TopNode node;
};

absl::Status Follow(Session& session, const std::shared_ptr<Shared>& shared, Followers* followers) {
  TopNode& top = shared->node;
  std::vector<std::pair<std::string, Followers::Attempt>> all = {
      {"processes", WatchInto(shared, "processes", &top.processes)},
      {"cpus", WatchInto(shared, "cpus", &top.cpus)},
      {"memory", WatchInto(shared, "memory", &top.memory)},
      {"kernel", WatchInto(shared, "kernel", &top.kernel)}};
  for (const auto& [type, attempt] : all) {
    ASSIGN_OR_RETURN(std::unique_ptr<Node> node, OneNode(session, "top"));
    followers->Begin(type, std::move(node), attempt);
  }
  return absl::OkStatus();
}

ExitCode Show(Session& session, TopLook look) {
  session.set_default_timeout(kScreenTimeout);
  absl::StatusOr<std::unique_ptr<Node>> node = OneNode(session, "top");
  if (!node.ok()) return session.Report("", node.status());
  auto shared = std::make_shared<Shared>();
  shared->node.name = (*node)->name();
  // Who never gets through is told so in words that stay.
  absl::Status there = (*node)->Call(method::kVersion, {}).status();
  if (!there.ok()) return session.Report((*node)->name(), Annotate(there, "top"));
  Followers followers([shared](const std::string& what, const absl::Status& status) {
    std::lock_guard<std::mutex> lock(shared->mutex);
    shared->node.health.Tell(what, status, absl::Now());
  });
  if (absl::Status begun = Follow(session, shared, &followers); !begun.ok()) return session.Report("", begun);
  absl::StatusOr<std::unique_ptr<FullScreen>> screen = FullScreen::Create(session.console(), session.getenv());
  if (!screen.ok()) return session.Report("", Annotate(screen.status(), "top"));
  bool goes_on = true;
  while (goes_on) {
    Frame frame = (*screen)->Blank();
    {
      std::lock_guard<std::mutex> lock(shared->mutex);
      DrawTop(shared->node, absl::Now(), &look, &frame);
    }
    (*screen)->Show(frame);
    goes_on = Press((*screen)->Read(absl::Now() + kRedraw), std::max<size_t>(2, frame.height() / 2), &look);
  }
  return ExitCode::kOk;
}

}  // namespace

Command TopCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "top";
  command.summary = "shows a node's processes as they run: processor, memory, control group";
  command.description =
      "One node at a time, on the whole terminal; its last line tells the keys. CPU% is of one processor, over the "
      "last\n"
      "two seconds; PSS is a process' share of memory. Off a terminal, or with --once, it looks twice and prints one\n"
      "table, of several nodes, too. Colours are left out where NO_COLOR is set.\n"
      "  osctl top --once -n all --interval 5s";
  command.arguments = {
      {"-i,--interval", "DURATION", "of --once, between its two looks; at least 200ms, default 2s", &options->interval},
      {"-s,--sort", "BY", "cpu, memory or pid; default cpu", &options->sort},
      {"--once", "", "print one table and end", &options->once},
  };
  command.arguments[1].choices = {"cpu", "memory", "pid"};
  command.run = [options](Session& session) {
    options->interval = std::max(options->interval, kShortest);
    bool screen = !options->once && CheckTerminal(session.console(), session.getenv()).ok();
    return screen ? Show(session, {OrderOf(options->sort)}) : Print(session, *options);
  };
  return command;
}

}  // namespace stele::osctl
