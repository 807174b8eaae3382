#include "osctl/screen/top_view.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

using stele::resource::v1::Cpu;
using stele::resource::v1::Process;

constexpr char kKeys[] = " q quit  c by processor  m by memory  p by pid  k kernel threads  arrows move";

absl::Duration DurationOf(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

// Of all processors: everything, and what was idle.
std::pair<absl::Duration, absl::Duration> TimesOf(const std::map<std::string, Cpu>& cpus) {
  absl::Duration all, idle;
  for (const auto& [id, cpu] : cpus) {
    absl::Duration rest = DurationOf(cpu.idle()) + DurationOf(cpu.disk_wait());
    idle += rest;
    all += rest + DurationOf(cpu.user()) + DurationOf(cpu.system()) + DurationOf(cpu.stolen());
  }
  return {all, idle};
}

// What the process used between the readings. Less than it had means that the pid is another one's by now.
absl::Duration UsedBy(const std::string& id, const Process& process, const std::map<std::string, Process>& before) {
  absl::Duration used = DurationOf(process.cpu());
  auto known = before.find(id);
  if (known == before.end() || DurationOf(known->second.cpu()) > used) return used;
  return used - DurationOf(known->second.cpu());
}

bool IsKernelThread(const TopRow& row) { return absl::StartsWith(row.command, "["); }

std::string Heading(TopOrder order, size_t cgroups) {
  auto name = [order](TopOrder of, absl::string_view text) {
    return order == of ? absl::StrCat(text, "v") : std::string(text);
  };
  return absl::StrCat(Fitted(name(TopOrder::kPid, "PID"), 8, Align::kRight),
                      Fitted(name(TopOrder::kCpu, "CPU%"), 8, Align::kRight),
                      Fitted(name(TopOrder::kMemory, "PSS"), 10, Align::kRight), Fitted("RSS", 10, Align::kRight),
                      "  S  ", Fitted("CGROUP", cgroups), "  COMMAND");
}

Line RowLine(const TopRow& row, size_t cgroups) {
  std::string numbers = absl::StrCat(Fitted(absl::StrCat(row.pid), 8, Align::kRight),
                                     Fitted(absl::StrFormat("%.1f", row.cpu), 8, Align::kRight));
  std::string rest =
      absl::StrCat(Fitted(HumanBytes(row.pss), 10, Align::kRight), Fitted(HumanBytes(row.rss), 10, Align::kRight), "  ",
                   Fitted(row.state, 1), "  ", Fitted(row.cgroup, cgroups), "  ", row.command);
  return {{numbers, LevelOf(row.cpu, 50, 90)}, {rest, Style::kPlain}};
}

}  // namespace

Style LevelOf(double value, double warning, double bad) {
  return value >= bad ? Style::kBad : value >= warning ? Style::kWarning : Style::kPlain;
}

absl::Duration UptimeOf(const stele::resource::v1::Kernel& kernel) {
  return absl::Trunc(DurationOf(kernel.uptime()), absl::Seconds(1));
}

double BusyPercent(const Watched<Cpu>& cpus) {
  if (cpus.before().empty()) return -1;
  auto [all_before, idle_before] = TimesOf(cpus.before());
  auto [all_now, idle_now] = TimesOf(cpus.now());
  if (all_now <= all_before) return -1;
  double idle = absl::FDivDuration(idle_now - idle_before, all_now - all_before);
  return std::clamp(100 * (1 - idle), 0.0, 100.0);
}

Line LoadLine(const Watched<Cpu>& cpus, const stele::resource::v1::Memory& memory,
              const stele::resource::v1::Kernel& kernel) {
  double busy = BusyPercent(cpus);
  uint64_t total = memory.total_bytes(), used = total - std::min(memory.available_bytes(), total);
  double share = total == 0 ? 0 : 100.0 * static_cast<double>(used) / static_cast<double>(total);
  std::string percent = busy < 0 ? "-" : absl::StrFormat("%.1f%%", busy);
  return {{absl::StrCat(" cpu ", percent, " of ", cpus.now().size()), LevelOf(busy, 60, 90)},
          {absl::StrFormat("  memory %s of %s (%.0f%%)", HumanBytes(used), HumanBytes(total), share),
           LevelOf(share, 75, 90)},
          {absl::StrCat("  load ", kernel.load()), Style::kPlain}};
}

std::vector<TopRow> TopRows(const TopNode& node, absl::Time now, TopOrder order) {
  std::vector<TopRow> rows;
  absl::Duration passed = node.processes.Between(now);
  for (const auto& [id, process] : node.processes.now()) {
    TopRow row;
    if (!absl::SimpleAtoi(id, &row.pid)) continue;
    if (passed > absl::ZeroDuration()) {
      row.cpu = 100 * absl::FDivDuration(UsedBy(id, process, node.processes.before()), passed);
    }
    row.pss = process.proportional_bytes();
    row.rss = process.resident_bytes();
    row.state = process.state();
    row.cgroup = process.cgroup();
    row.command = process.command();
    rows.push_back(std::move(row));
  }
  std::sort(rows.begin(), rows.end(), [order](const TopRow& a, const TopRow& b) {
    if (order == TopOrder::kCpu && a.cpu != b.cpu) return a.cpu > b.cpu;
    if (order != TopOrder::kPid && a.pss != b.pss) return a.pss > b.pss;
    return a.pid < b.pid;
  });
  return rows;
}

void DrawTop(const TopNode& node, absl::Time now, TopLook* look, Frame* frame) {
  std::vector<TopRow> rows = TopRows(node, now, look->order);
  size_t all = rows.size();
  if (!look->kernel_threads) rows.erase(std::remove_if(rows.begin(), rows.end(), IsKernelThread), rows.end());
  frame->Add(
      {{absl::StrCat(" ", node.name, "  up ", HumanDuration(UptimeOf(node.kernel.Get("running"))), "  ", all,
                     " processes, ", rows.size(), " shown  ", absl::FormatTime("%H:%M:%S", now, absl::LocalTimeZone())),
        Style::kReverse}});
  frame->Add(LoadLine(node.cpus, node.memory.Get("node"), node.kernel.Get("running")));
  frame->Add({{absl::StrCat(" ", node.health.Trouble(node.cpus.heard(), now)), Style::kBad}});
  size_t cgroups = 6;
  for (const TopRow& row : rows) cgroups = std::max(cgroups, WidthOf(row.cgroup));
  cgroups = std::min(cgroups, std::max<size_t>(6, frame->width() / 4));
  frame->Add({{Heading(look->order, cgroups), Style::kReverse}});
  look->first = std::min(look->first, rows.empty() ? 0 : rows.size() - 1);
  for (size_t i = look->first; i < rows.size() && frame->rows_left() > 1; ++i) frame->Add(RowLine(rows[i], cgroups));
  frame->AddLast({{kKeys, Style::kReverse}});
}

}  // namespace stele::osctl
