// What `osctl top` shows of a node's processes. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "osctl/screen/frame.h"
#include "osctl/screen/watched.h"
#include "stele/resource/v1/kernel.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::osctl {

struct TopNode {
  std::string name;
  Watched<stele::resource::v1::Process> processes;  // by pid
  Watched<stele::resource::v1::Cpu> cpus;
  Watched<stele::resource::v1::Memory> memory;
  Watched<stele::resource::v1::Kernel> kernel;
  Health health;
};

struct TopRow {
  int pid = 0;
  double cpu = 0;  // percent of one processor, between two readings; of a new process, since it began
  uint64_t pss = 0, rss = 0;
  std::string state, cgroup, command;
};

enum class TopOrder : unsigned char { kCpu, kMemory, kPid };

std::vector<TopRow> TopRows(const TopNode& node, absl::Time now, TopOrder order);

struct TopLook {
  TopOrder order = TopOrder::kCpu;
  size_t first = 0;  // the row at the top
  bool kernel_threads = false;
};

// The whole screen: the node, its processes, the keys. Brings `look->first` back to where there are rows.
void DrawTop(const TopNode& node, absl::Time now, TopLook* look, Frame* frame);

// What both screens say of a node.

// Percent of all processors' time that was not idle between two readings; -1: unknown.
double BusyPercent(const Watched<stele::resource::v1::Cpu>& cpus);
// "cpu 12.3% of 2  memory 1.2GiB of 4.0GiB (31%)  load 0.10 0.20 0.30".
Line LoadLine(const Watched<stele::resource::v1::Cpu>& cpus, const stele::resource::v1::Memory& memory,
              const stele::resource::v1::Kernel& kernel);
absl::Duration UptimeOf(const stele::resource::v1::Kernel& kernel);
// kWarning from `warning` on, kBad from `bad` on.
Style LevelOf(double value, double warning, double bad);

}  // namespace stele::osctl
