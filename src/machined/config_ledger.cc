#include "machined/config_ledger.h"

#include <algorithm>
#include <mutex>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"

namespace stele::machined {
namespace {

constexpr char kFile[] = "/ledger";
constexpr size_t kMaxFile = 16 << 10;
constexpr size_t kMaxKeys = 2 * ConfigStore::kKept;

std::set<std::string> Words(const std::string& text) { return absl::StrSplit(text, ',', absl::SkipEmpty()); }

// The newest, as many as generations are kept: a set must not grow with the node's age.
std::string Joined(const std::set<std::string>& keys) {
  std::vector<std::string> sorted(keys.begin(), keys.end());
  std::sort(sorted.begin(), sorted.end(), [](const std::string& a, const std::string& b) {
    return ConfigLedger::NumberOf(a) > ConfigLedger::NumberOf(b);
  });
  if (sorted.size() > kMaxKeys) sorted.resize(kMaxKeys);
  return absl::StrJoin(sorted, ",");
}

}  // namespace

std::string ConfigLedger::Key(const Generation& generation) {
  return absl::StrCat(generation.number, ":", Sha256Hex(generation.yaml).substr(0, 16));
}

uint64_t ConfigLedger::NumberOf(const std::string& key) {
  uint64_t number = 0;
  return absl::SimpleAtoi(key.substr(0, key.find(':')), &number) ? number : 0;
}

uint64_t ConfigLedger::LastGood() const {
  uint64_t last = 0;
  for (const std::string& key : good) last = std::max(last, NumberOf(key));
  return last;
}

ConfigLedger ConfigLedger::Load(const std::string& folder) {
  ConfigLedger ledger;
  absl::StatusOr<std::string> sealed = ReadFile(folder + kFile, kMaxFile);
  std::string text;
  Facts facts;
  if (!sealed.ok() || !Unseal(*sealed, &text, &facts)) return ledger;
  ledger.counted = facts["counted"];
  if (!absl::SimpleAtoi(facts["boots"], &ledger.boots)) ledger.boots = 0;
  ledger.boot = facts["boot"];
  if (!absl::SimpleAtoi(facts["crashed"], &ledger.crashed)) ledger.crashed = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::pair<std::string, std::string> set = absl::StrSplit(line, absl::MaxSplits(": ", 1));
    if (set.first == "proven") ledger.proven = Words(set.second);
    if (set.first == "good") ledger.good = Words(set.second);
  }
  return ledger;
}

absl::Status ConfigLedger::Save(const std::string& folder) const {
  RETURN_IF_ERROR(MakeDirectories(folder, 0700));
  std::string text = absl::StrCat("proven: ", Joined(proven), "\ngood: ", Joined(good), "\n");
  Facts facts = {
      {"counted", counted}, {"boots", absl::StrCat(boots)}, {"boot", boot}, {"crashed", absl::StrCat(crashed)}};
  return Annotate(ReplaceFile(folder + kFile, Seal(text, facts), 0600), "save how the configurations fared");
}

absl::Status ConfigLedger::Update(const std::string& folder, const std::function<bool(ConfigLedger&)>& change) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  ConfigLedger ledger = Load(folder);
  return change(ledger) ? ledger.Save(folder) : absl::OkStatus();
}

ConfigStore OpenConfigStore(const std::string& folder) {
  ConfigStore store(folder);
  store.Protect(ConfigLedger::Load(folder).LastGood());
  return store;
}

}  // namespace stele::machined
