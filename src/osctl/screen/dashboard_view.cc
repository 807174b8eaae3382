#include "osctl/screen/dashboard_view.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "osctl/output/humanize.h"
#include "osctl/output/resource.h"
#include "osctl/screen/top_view.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::Event;
using stele::resource::v1::LinkCounters;
using stele::resource::v1::Pressure;
using stele::resource::v1::Service;

constexpr char kKeys[] = " q quit  tab events, log, kernel  up/down service  pages scroll";
constexpr size_t kBesideFrom = 120;  // columns from which pressure and network stand beside the services
constexpr size_t kRight = 56;        // columns they take there

std::string Number(double value) { return absl::StrFormat("%.1f", value); }
std::string Rate(uint64_t bytes) { return absl::StrCat(HumanBytes(bytes), "/s"); }

bool IsUp(const Service& service) {
  return service.state() == stele::resource::v1::SERVICE_STATE_FINISHED ||
         (service.state() == stele::resource::v1::SERVICE_STATE_RUNNING && service.ready());
}
bool IsWanted(const Service& service) { return service.desired() != stele::resource::v1::DESIRED_STATE_DOWN; }

// Bytes a second between two readings.
uint64_t RateOf(const DashboardNode& node, const std::string& link, absl::Time time,
                uint64_t (LinkCounters::*bytes)() const) {
  double seconds = absl::ToDoubleSeconds(node.counters.Between(time));
  auto before = node.counters.before().find(link);
  if (before == node.counters.before().end() || seconds <= 0) return 0;
  uint64_t after = (node.counters.Get(link).*bytes)();
  // Less than before: it was made anew.
  uint64_t moved = after - std::min(after, (before->second.*bytes)());
  return static_cast<uint64_t>(static_cast<double>(moved) / seconds);
}

std::string AddressesOf(const DashboardNode& node, const std::string& link) {
  std::string all;
  for (const auto& [id, address] : node.addresses.now()) {
    if (address.link() == link && address.scope() != "link")
      absl::StrAppend(&all, all.empty() ? "" : " ", address.address());
  }
  return all;
}

std::string Since(const Service& service, absl::Time now) {
  return service.has_started() ? HumanAge(absl::FromUnixSeconds(service.started().seconds()), now) : "";
}

using Lines = std::vector<Line>;

Lines ServiceLines(const DashboardNode& node, const DashboardLook& look, absl::Time now, size_t room) {
  size_t up = 0, wanted = 0;
  for (const auto& [name, service] : node.services.now()) {
    wanted += IsWanted(service) ? 1 : 0;
    up += IsWanted(service) && IsUp(service) ? 1 : 0;
  }
  Lines lines = {{{absl::StrCat(" ", Fitted(absl::StrCat("SERVICES ", up, "/", wanted), 15), Fitted("STATE", 10),
                                Fitted("SINCE", 8), Fitted("RESTARTS", 9), "MESSAGE"),
                   Style::kDim}}};
  // The chosen one is among those there is room for.
  size_t first = look.service + 1 < room ? 0 : look.service + 2 - room, index = 0;
  for (const auto& [name, service] : node.services.now()) {
    bool chosen = index == look.service;
    if (index++ < first || lines.size() >= room) continue;
    const auto* state = stele::resource::v1::ServiceState_descriptor()->FindValueByNumber(service.state());
    Style style = IsUp(service) ? Style::kGood : IsWanted(service) ? Style::kBad : Style::kDim;
    lines.push_back(
        {{absl::StrCat(chosen ? ">" : " ", Fitted(name, 15)), chosen ? Style::kBold : Style::kPlain},
         {Fitted(state == nullptr ? "" : EnumText(state), 10), style},
         {Fitted(Since(service, now), 8), Style::kPlain},
         {Fitted(absl::StrCat(service.restarts()), 9), service.restarts() > 0 ? Style::kWarning : Style::kPlain},
         {service.message(), Style::kPlain}});
  }
  return lines;
}

Lines PressureLines(const DashboardNode& node) {
  Lines lines = {{{"PRESSURE       10s     1m     5m   full 10s", Style::kDim}}};
  for (const auto& [id, pressure] : node.pressure.now()) {
    lines.push_back({{Fitted(id, 11), Style::kPlain},
                     {Fitted(Number(pressure.some_10s()), 7, Align::kRight), LevelOf(pressure.some_10s(), 10, 40)},
                     {Fitted(Number(pressure.some_60s()), 7, Align::kRight), LevelOf(pressure.some_60s(), 10, 40)},
                     {Fitted(Number(pressure.some_300s()), 7, Align::kRight), LevelOf(pressure.some_300s(), 10, 40)},
                     {Fitted(Number(pressure.full_10s()), 11, Align::kRight), LevelOf(pressure.full_10s(), 5, 20)}});
  }
  return lines;
}

// All in one line, where rows are dear.
Line ShortPressure(const DashboardNode& node) {
  Line line = {{" PRESSURE 10s", Style::kDim}};
  for (const auto& [id, pressure] : node.pressure.now()) {
    line.push_back({absl::StrCat("  ", id, " ", Number(pressure.some_10s())), LevelOf(pressure.some_10s(), 10, 40)});
  }
  return line;
}

Lines NetworkLines(const DashboardNode& node, absl::Time now) {
  Lines lines = {{{"NETWORK    STATE         RX          TX  ADDRESSES", Style::kDim}}};
  for (const auto& [id, link] : node.links.now()) {
    if (id == "lo") continue;
    bool up = link.operational_state() == "up" || link.operational_state() == "unknown";
    lines.push_back(
        {{Fitted(id, 11), Style::kPlain},
         {Fitted(link.operational_state(), 5), up ? Style::kGood : Style::kWarning},
         {Fitted(Rate(RateOf(node, id, now, &LinkCounters::received_bytes)), 11, Align::kRight), Style::kPlain},
         {Fitted(Rate(RateOf(node, id, now, &LinkCounters::sent_bytes)), 12, Align::kRight), Style::kPlain},
         {absl::StrCat("  ", AddressesOf(node, id)), Style::kPlain}});
  }
  return lines;
}

void Append(Lines lines, Lines* out) { out->insert(out->end(), lines.begin(), lines.end()); }

// Services, pressure, network: in at most `room` rows.
void AddState(const DashboardNode& node, const DashboardLook& look, absl::Time now, size_t room, Frame* frame) {
  if (frame->width() >= kBesideFrom) {
    size_t width = frame->width() - kRight;
    Lines left = ServiceLines(node, look, now, room), right = PressureLines(node);
    Append(NetworkLines(node, now), &right);
    for (size_t i = 0; i < std::min(room, std::max(left.size(), right.size())); ++i) {
      Line line = FittedLine(i < left.size() ? left[i] : Line{}, width - 2);
      frame->Add(Beside(line, width, i < right.size() ? right[i] : Line{{"", Style::kPlain}}));
    }
    return;
  }
  Lines network = NetworkLines(node, now);
  if (network.size() > std::max<size_t>(2, room / 3)) network.resize(std::max<size_t>(2, room / 3));
  size_t below = network.size() + 1;
  for (const Line& line : ServiceLines(node, look, now, room > below + 2 ? room - below : 2)) frame->Add(line);
  frame->Add(ShortPressure(node));
  for (Line& line : network) {
    line.insert(line.begin(), Span{" ", Style::kPlain});
    frame->Add(line);
  }
}

Line TabLine(const DashboardNode& node, const DashboardLook& look) {
  DashboardLook service = look;
  service.pane = Pane::kService;
  Line line = {{" ", Style::kPlain}};
  for (const auto& [pane, text] : {std::pair(Pane::kEvents, std::string("events")),
                                   std::pair(Pane::kService, absl::StrCat("log of ", LogOf(node, service))),
                                   std::pair(Pane::kKernel, std::string("kernel"))}) {
    bool chosen = pane == look.pane;
    line.push_back(
        {chosen ? absl::StrCat("[", text, "]") : absl::StrCat(" ", text, " "), chosen ? Style::kBold : Style::kDim});
    line.push_back({"  ", Style::kPlain});
  }
  if (look.back > 0) line.push_back({absl::StrCat(look.back, " lines back"), Style::kWarning});
  return line;
}

Line EventLine(const Event& event) {
  const auto* severity = stele::machine::v1::Severity_descriptor()->FindValueByNumber(event.severity());
  Style style = event.severity() == stele::machine::v1::SEVERITY_ERROR     ? Style::kBad
                : event.severity() == stele::machine::v1::SEVERITY_WARNING ? Style::kWarning
                                                                           : Style::kPlain;
  std::string time = absl::FormatTime("%H:%M:%S", absl::FromUnixSeconds(event.time().seconds()), absl::LocalTimeZone());
  return {{absl::StrCat(" ", time, "  "), Style::kDim},
          {absl::StrCat(Fitted(severity == nullptr ? "" : EnumText(severity), 9),
                        Fitted(absl::StrCat(event.kind(), "/", event.subject()), 24), "  ", event.message()),
           style}};
}

Lines PaneLines(const DashboardNode& node, const DashboardLook& look) {
  Lines lines;
  if (look.pane == Pane::kEvents) {
    for (const Event& event : node.events) lines.push_back(EventLine(event));
    return lines;
  }
  // Another's lines are not shown below this heading.
  if (node.log_of != LogOf(node, look)) return lines;
  for (const std::string& line : node.log) lines.push_back({{absl::StrCat(" ", line), Style::kPlain}});
  return lines;
}

}  // namespace

std::string LogOf(const DashboardNode& node, const DashboardLook& look) {
  if (look.pane == Pane::kEvents) return "";
  const auto& services = node.services.now();
  if (look.pane == Pane::kKernel || services.empty()) return "kernel";
  auto service = services.begin();
  std::advance(service, static_cast<ptrdiff_t>(std::min(look.service, services.size() - 1)));
  return service->first;
}

void DrawDashboard(const DashboardNode& node, absl::Time now, DashboardLook* look, Frame* frame) {
  size_t services = node.services.now().size();
  look->service = std::min(look->service, services == 0 ? 0 : services - 1);
  frame->Add(
      {{absl::StrCat(" ", node.version.hostname(), " (", node.name, ")  stele ", node.version.stele(), "  kernel ",
                     node.version.kernel(), "  up ", HumanDuration(UptimeOf(node.kernel.Get("running"))), "  ",
                     absl::FormatTime("%H:%M:%S", now, absl::LocalTimeZone())),
        Style::kReverse}});
  frame->Add(LoadLine(node.cpus, node.memory.Get("node"), node.kernel.Get("running")));
  frame->Add({{absl::StrCat(" ", node.health.Trouble(node.cpus.heard(), now)), Style::kBad}});
  AddState(node, *look, now, std::max<size_t>(6, frame->height() / 2) - 2, frame);
  frame->Add({});
  Lines lines = PaneLines(node, *look);
  size_t room = frame->rows_left() > 2 ? frame->rows_left() - 2 : 0;
  look->back = std::min(look->back, lines.size() - std::min(lines.size(), room));
  frame->Add(TabLine(node, *look));
  size_t end = lines.size() - look->back;
  for (size_t i = end - std::min(end, room); i < end; ++i) frame->Add(lines[i]);
  frame->AddLast({{kKeys, Style::kReverse}});
}

}  // namespace stele::osctl
