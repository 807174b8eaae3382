#include "machined/boots/boot_history.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/file.h"

namespace stele::machined {
namespace {

using resource::v1::Boot;

constexpr size_t kMaxFile = 1 << 20;

void Classify(const EndEvidence& evidence, Boot* boot) {
  if (!evidence.kernel_log.empty()) {
    std::string line = PanicLine(evidence.kernel_log);
    boot->set_end(resource::v1::BOOT_END_PANIC);
    boot->set_reason(line.empty() ? "the kernel left a log of its end" : line.substr(0, BootHistory::kMaxReason));
    size_t size = evidence.kernel_log.size();
    boot->set_kernel_log(evidence.kernel_log.substr(size - std::min(size, BootHistory::kMaxKernelLog)));
  } else if (evidence.watchdog_reset) {
    boot->set_end(resource::v1::BOOT_END_WATCHDOG);
    boot->set_reason("the hardware watchdog was not fed");
  } else {
    boot->set_end(resource::v1::BOOT_END_POWER_LOSS);
    boot->set_reason("no word of an end: power loss, or a reset from outside");
  }
}

// Without the console's "<6>[    1.234567] " before it.
std::string Bare(absl::string_view line) {
  if (absl::StartsWith(line, "<")) line.remove_prefix(std::min(line.size(), line.find('>') + 1));
  if (absl::StartsWith(line, "[")) line.remove_prefix(std::min(line.size(), line.find(']') + 1));
  while (absl::StartsWith(line, " ")) line.remove_prefix(1);
  return std::string(line);
}

}  // namespace

absl::StatusOr<BootHistory> BootHistory::Load(const std::string& path) {
  BootHistory history;
  absl::StatusOr<std::string> bytes = ReadFile(path, kMaxFile);
  if (bytes.status().code() == absl::StatusCode::kNotFound) return history;
  RETURN_IF_ERROR(bytes.status());
  resource::v1::BootHistory file;
  if (!file.ParseFromString(*bytes)) return absl::DataLossError(absl::StrCat(path, " is no history of boots"));
  for (const auto& [number, boot] : file.boots()) history.boots_[number] = boot;
  return history;
}

absl::Status BootHistory::Save(const std::string& path) const {
  resource::v1::BootHistory file;
  for (const auto& [number, boot] : boots_) (*file.mutable_boots())[number] = boot;
  return ReplaceFile(path, file.SerializeAsString(), 0600);
}

std::optional<Boot> BootHistory::Begin(const Boot& boot, const EndEvidence& evidence) {
  std::optional<Boot> before;
  uint64_t number = 1;
  if (!boots_.empty()) {
    auto& [last_number, last] = *boots_.rbegin();
    if (last.boot_id() == boot.boot_id()) return before;
    if (last.end() == resource::v1::BOOT_END_UNSPECIFIED || last.end() == resource::v1::BOOT_END_RUNNING) {
      Classify(evidence, &last);
    } else if (!evidence.kernel_log.empty()) {
      // It was asked to end, and panicked on the way.
      std::string asked = last.reason();
      Classify(evidence, &last);
      last.set_reason(absl::StrCat(last.reason(), "; ", asked).substr(0, kMaxReason));
    }
    before = last;
    number = last_number + 1;
  }
  Boot& added = boots_[number] = boot;
  added.set_end(resource::v1::BOOT_END_RUNNING);
  while (boots_.size() > kKept) boots_.erase(boots_.begin());
  return before;
}

void BootHistory::End(resource::v1::BootEnd end, const std::string& reason, int64_t now_seconds) {
  if (boots_.empty()) return;
  Boot& boot = boots_.rbegin()->second;
  boot.set_end(end);
  boot.set_reason(reason.substr(0, kMaxReason));
  boot.mutable_ended()->set_seconds(now_seconds);
}

std::string PanicLine(const std::string& kernel_log) {
  // The most telling first: a panic names the oops before it only in passing.
  for (const char* sign :
       {"Kernel panic - not syncing", "BUG: ", "Oops: ", "general protection fault", "init crashed"}) {
    for (absl::string_view line : absl::StrSplit(kernel_log, '\n')) {
      if (absl::StrContains(line, sign)) return Bare(line);
    }
  }
  return "";
}

std::string EndText(resource::v1::BootEnd end) {
  switch (end) {
    case resource::v1::BOOT_END_RUNNING:
      return "running";
    case resource::v1::BOOT_END_REBOOT:
      return "reboot";
    case resource::v1::BOOT_END_KEXEC:
      return "reboot by kexec";
    case resource::v1::BOOT_END_POWER_OFF:
      return "power off";
    case resource::v1::BOOT_END_PANIC:
      return "panic";
    case resource::v1::BOOT_END_WATCHDOG:
      return "watchdog";
    case resource::v1::BOOT_END_POWER_LOSS:
      return "power loss";
    default:
      return "unknown";
  }
}

}  // namespace stele::machined
