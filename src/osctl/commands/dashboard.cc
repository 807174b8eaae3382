// osctl dashboard: a node on one screen: services, pressure, network, events, logs.
#include <algorithm>
#include <memory>

#include "absl/strings/str_split.h"
#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/screen/dashboard_view.h"
#include "osctl/screen/followers.h"
#include "osctl/screen/terminal.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ReadLogRequest;
using stele::machine::v1::ReadLogResponse;
using stele::machine::v1::StreamEventsRequest;
using stele::machine::v1::StreamEventsResponse;

constexpr size_t kLines = 500;  // of a log, and of events, that are kept
// Streams on which nothing may come for long, so that they do not tell whether the node is there.
constexpr char kLog[] = "log", kEvents[] = "events";

// What the screen and the threads that read share.
struct Shared {
  std::mutex mutex;
  DashboardNode node;
  DashboardLook look;
};

template <typename T>
void AddLast(T item, std::vector<T>* items) {
  if (items->size() >= kLines) items->erase(items->begin());
  items->push_back(std::move(item));
}

// The last lines of a service's or the kernel's log, and then each as it comes; from where it was after a break.
Followers::Attempt FollowLog(const std::shared_ptr<Shared>& shared, const std::string& of) {
  ReadLogRequest first;
  first.set_tail_lines(kLines);
  first.set_follow(true);
  if (of == "kernel") {
    first.mutable_kernel();
  } else {
    first.set_service(of);
  }
  return [shared, of, request = std::move(first)](Node& node) mutable {
    absl::Status status =
        node.Stream<ReadLogRequest, ReadLogResponse>(method::kReadLog, request, [&](const ReadLogResponse& response) {
          request.set_cursor(response.cursor());
          std::lock_guard<std::mutex> lock(shared->mutex);
          if (shared->node.log_of != of) return absl::OkStatus();  // another one's by now
          for (absl::string_view line : absl::StrSplit(response.data(), '\n', absl::SkipEmpty())) {
            AddLast(std::string(line), &shared->node.log);
          }
          return absl::OkStatus();
        });
    // Such as that there is none; a lost connection is told elsewhere.
    std::lock_guard<std::mutex> lock(shared->mutex);
    bool refused = !status.ok() && !IsConnectionLoss(status) && !absl::IsCancelled(status);
    if (refused && shared->node.log_of == of) shared->node.log = {absl::StrCat("(", status.message(), ")")};
    return status;
  };
}

Followers::Attempt FollowEvents(const std::shared_ptr<Shared>& shared) {
  StreamEventsRequest first;
  first.set_follow(true);
  return [shared, request = std::move(first)](Node& node) mutable {
    return node.Stream<StreamEventsRequest, StreamEventsResponse>(method::kStreamEvents, request,
                                                                  [&](const StreamEventsResponse& response) {
                                                                    request.set_after_id(response.event().id());
                                                                    request.set_boot_id(response.boot_id());
                                                                    std::lock_guard<std::mutex> lock(shared->mutex);
                                                                    AddLast(response.event(), &shared->node.events);
                                                                    return absl::OkStatus();
                                                                  });
  };
}

// The kernel with the version of the system: both are others' after a reboot.
Followers::Attempt FollowKernel(const std::shared_ptr<Shared>& shared) {
  Followers::Attempt watch = WatchInto(shared, "kernel", &shared->node.kernel);
  return [shared, watch](Node& node) -> absl::Status {
    ASSIGN_OR_RETURN(auto version, node.Call(method::kVersion, {}));
    {
      std::lock_guard<std::mutex> lock(shared->mutex);
      shared->node.version = std::move(version);
    }
    return watch(node);
  };
}

absl::Status BeginOne(Session& session, Followers* followers, const std::string& what, Followers::Attempt attempt) {
  ASSIGN_OR_RETURN(std::unique_ptr<Node> node, OneNode(session, "dashboard"));
  followers->Begin(what, std::move(node), std::move(attempt));
  return absl::OkStatus();
}

absl::Status BeginAll(Session& session, const std::shared_ptr<Shared>& shared, Followers* followers) {
  DashboardNode& node = shared->node;
  std::vector<std::pair<std::string, Followers::Attempt>> all = {
      {"kernel", FollowKernel(shared)},
      {"services", WatchInto(shared, "services", &node.services)},
      {kEvents, FollowEvents(shared)},
      {"cpus", WatchInto(shared, "cpus", &node.cpus)},
      {"memory", WatchInto(shared, "memory", &node.memory)},
      {"pressure", WatchInto(shared, "pressure", &node.pressure)},
      {"links", WatchInto(shared, "links", &node.links)},
      {"linkcounters", WatchInto(shared, "linkcounters", &node.counters)},
      {"addresses", WatchInto(shared, "addresses", &node.addresses)}};
  for (const auto& [what, attempt] : all) {
    RETURN_IF_ERROR(BeginOne(session, followers, what, attempt));
  }
  return absl::OkStatus();
}

// Another log than the one that is followed, when it is to be shown.
void ChangeLog(Session& session, const std::shared_ptr<Shared>& shared, Followers* followers) {
  std::string of;
  {
    std::lock_guard<std::mutex> lock(shared->mutex);
    of = LogOf(shared->node, shared->look);
    if (of.empty() || of == shared->node.log_of) return;
    shared->node.log_of = of;
    shared->node.log.clear();
  }
  absl::Status begun = BeginOne(session, followers, kLog, FollowLog(shared, of));
  if (begun.ok()) return;
  std::lock_guard<std::mutex> lock(shared->mutex);
  shared->node.log = {absl::StrCat("(", begun.message(), ")")};
}

Pane Next(Pane pane, int by) { return static_cast<Pane>((static_cast<int>(pane) + 3 + by) % 3); }

// What a key does to what is chosen. False: leave.
bool Press(const KeyPress& press, size_t page, DashboardLook* look) {
  switch (press.key) {
    case Key::kGone:
    case Key::kEscape:
      return false;
    case Key::kTab:
    case Key::kRight:
      *look = {look->service, Next(look->pane, 1), 0};
      break;
    case Key::kLeft:
      *look = {look->service, Next(look->pane, -1), 0};
      break;
    case Key::kDown:
      *look = {look->service + 1, Pane::kService, 0};
      break;
    case Key::kUp:
      *look = {look->service - std::min<size_t>(look->service, 1), Pane::kService, 0};
      break;
    case Key::kPageUp:
      look->back += page;
      break;
    case Key::kPageDown:
      look->back -= std::min(look->back, page);
      break;
    case Key::kHome:
      look->back = SIZE_MAX;
      break;
    case Key::kEnd:
      look->back = 0;
      break;
    default:
      break;
  }
  return press.character != 'q';
}

ExitCode Show(Session& session) {
  session.set_default_timeout(kScreenTimeout);
  absl::Status fits = CheckTerminal(session.console(), session.getenv());
  if (!fits.ok()) return session.Report("", Annotate(fits, "dashboard"));
  absl::StatusOr<std::unique_ptr<Node>> node = OneNode(session, "dashboard");
  if (!node.ok()) return session.Report("", node.status());
  auto shared = std::make_shared<Shared>();
  shared->node.name = (*node)->name();
  // Who never gets through is told so in words that stay.
  absl::Status there = (*node)->Call(method::kVersion, {}).status();
  if (!there.ok()) return session.Report((*node)->name(), Annotate(there, "dashboard"));
  Followers followers([shared](const std::string& what, const absl::Status& status) {
    if (what == kLog || (what == kEvents && !IsRefusal(status))) return;
    std::lock_guard<std::mutex> lock(shared->mutex);
    shared->node.health.Tell(what, status, absl::Now());
  });
  if (absl::Status begun = BeginAll(session, shared, &followers); !begun.ok()) return session.Report("", begun);
  absl::StatusOr<std::unique_ptr<FullScreen>> screen = FullScreen::Create(session.console(), session.getenv());
  if (!screen.ok()) return session.Report("", Annotate(screen.status(), "dashboard"));
  bool goes_on = true;
  while (goes_on) {
    Frame frame = (*screen)->Blank();
    {
      std::lock_guard<std::mutex> lock(shared->mutex);
      DrawDashboard(shared->node, absl::Now(), &shared->look, &frame);
    }
    (*screen)->Show(frame);
    KeyPress press = (*screen)->Read(absl::Now() + kRedraw);
    // Not for each service that somebody only passes by.
    if (press.key == Key::kNone) ChangeLog(session, shared, &followers);
    std::lock_guard<std::mutex> lock(shared->mutex);
    goes_on = Press(press, std::max<size_t>(2, frame.height() / 3), &shared->look);
  }
  return ExitCode::kOk;
}

}  // namespace

Command DashboardCommand() {
  Command command;
  command.name = "dashboard";
  command.summary = "shows a node on the whole terminal: services, pressure, network, events, logs";
  command.description =
      "One node at a time; the last line tells the keys. Without the node it goes on trying and says since when.\n"
      "It holds a connection for each thing that it shows, some ten, and no call is made again as long as they last.\n"
      "Colours are left out where NO_COLOR is set.";
  command.run = [](Session& session) { return Show(session); };
  return command;
}

}  // namespace stele::osctl
