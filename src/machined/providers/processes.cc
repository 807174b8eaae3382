// The `processes` resources, from /proc.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxCommand = 256;
// Fields of /proc/PID/stat after the name's ')', counted from 0: see proc(5).
enum StatField { kState = 0, kParent = 1, kUserTicks = 11, kSystemTicks = 12, kThreads = 17, kResidentPages = 21 };

// The arguments with spaces between, fit for a terminal.
std::string CommandLine(std::string raw, absl::string_view name) {
  while (!raw.empty() && raw.back() == '\0') raw.pop_back();
  if (raw.empty()) return absl::StrCat("[", name, "]");
  raw.resize(std::min(raw.size(), kMaxCommand));
  for (char& c : raw) {
    if (static_cast<unsigned char>(c) < ' ' || c == 127) c = ' ';
  }
  // Bytes that are not UTF-8 do not fit a proto string.
  for (char& c : raw) {
    if (static_cast<unsigned char>(c) >= 128) c = '?';
  }
  return raw;
}

// "Pss:   1234 kB"; 0 for a kernel thread, which has no memory of its own.
uint64_t ProportionalBytes(const std::string& directory) {
  for (absl::string_view line : absl::StrSplit(ReadFile(directory + "/smaps_rollup").value_or(""), '\n')) {
    if (!absl::ConsumePrefix(&line, "Pss:")) continue;
    line = absl::StripAsciiWhitespace(line);
    uint64_t kilobytes = 0;
    return absl::SimpleAtoi(line.substr(0, line.find(' ')), &kilobytes) ? kilobytes * 1024 : 0;
  }
  return 0;
}

// Null when it ended meanwhile.
std::unique_ptr<resource::v1::Process> ReadProcess(const std::string& directory) {
  absl::StatusOr<std::string> stat = ReadFile(directory + "/stat");
  if (!stat.ok()) return nullptr;
  // The name may hold spaces and parentheses: the last ')' ends it.
  size_t open = stat->find('(');
  size_t close = stat->rfind(')');
  if (open == std::string::npos || close == std::string::npos || close + 2 > stat->size()) return nullptr;
  std::vector<std::string> fields = absl::StrSplit(stat->substr(close + 2), ' ');
  if (fields.size() <= kResidentPages) return nullptr;
  auto number = [&](StatField field) {
    int64_t value = 0;
    return absl::SimpleAtoi(fields[field], &value) ? value : 0;
  };
  auto process = std::make_unique<resource::v1::Process>();
  process->set_parent_pid(number(kParent));
  process->set_state(fields[kState]);
  process->set_threads(number(kThreads));
  process->set_resident_bytes(number(kResidentPages) * ::sysconf(_SC_PAGESIZE));
  process->set_proportional_bytes(ProportionalBytes(directory));
  process->set_open_files(static_cast<uint32_t>(NamesIn(directory + "/fd").size()));
  int64_t ticks = number(kUserTicks) + number(kSystemTicks);
  SetDuration(FromTicks(static_cast<uint64_t>(ticks)), process->mutable_cpu());
  struct stat owner;
  if (::stat(directory.c_str(), &owner) == 0) process->set_uid(owner.st_uid);
  for (absl::string_view line : absl::StrSplit(ReadFile(directory + "/cgroup").value_or(""), '\n')) {
    if (absl::ConsumePrefix(&line, "0::")) process->set_cgroup(std::string(line));
  }
  process->set_command(
      CommandLine(ReadFile(directory + "/cmdline").value_or(""), stat->substr(open + 1, close - open - 1)));
  return process;
}

}  // namespace

absl::StatusOr<Provided> ReadProcesses() {
  Provided processes;
  std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (proc == nullptr) return ErrnoStatus("open /proc");
  while (dirent* entry = ::readdir(proc.get())) {
    int pid;
    if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
    if (auto process = ReadProcess(absl::StrCat("/proc/", pid)))
      processes.emplace(absl::StrCat(pid), std::move(process));
  }
  return processes;
}

}  // namespace stele::machined
