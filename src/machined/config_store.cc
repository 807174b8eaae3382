#include "machined/config_store.h"

#include <dirent.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"

namespace stele::machined {
namespace {

constexpr char kTrailer[] = "# stele-generation:";
constexpr char kStaged[] = "/staged.yaml";
constexpr char kApplied[] = "generation-", kTrial[] = "try-";
constexpr size_t kMaxFile = (1 << 20) + 4096;
constexpr size_t kMaxFact = 512;

std::string FileName(absl::string_view prefix, uint64_t number) {
  return absl::StrFormat("%s%08d.yaml", prefix, number);
}

// 0 for other files.
uint64_t NumberOf(absl::string_view name, absl::string_view prefix) {
  uint64_t number = 0;
  bool ours =
      absl::ConsumePrefix(&name, prefix) && absl::ConsumeSuffix(&name, ".yaml") && absl::SimpleAtoi(name, &number);
  return ours ? number : 0;
}

// Newest first.
std::vector<uint64_t> Numbers(const std::string& folder, absl::string_view prefix) {
  std::vector<uint64_t> numbers;
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), ::closedir);
  while (entries != nullptr) {
    dirent* entry = ::readdir(entries.get());
    if (entry == nullptr) break;
    if (uint64_t number = NumberOf(entry->d_name, prefix)) numbers.push_back(number);
  }
  std::sort(numbers.rbegin(), numbers.rend());
  return numbers;
}

uint64_t NextNumber(const std::string& folder) {
  std::vector<uint64_t> applied = Numbers(folder, kApplied), tried = Numbers(folder, kTrial);
  return std::max(applied.empty() ? 0 : applied.front(), tried.empty() ? 0 : tried.front()) + 1;
}

// One word, whatever is in it.
std::string EscapeFact(absl::string_view value) {
  std::string word;
  for (char c : value.substr(0, kMaxFact)) {
    if (c > ' ' && c < 0x7f && c != '%') {
      word += c;
    } else {
      absl::StrAppendFormat(&word, "%%%02x", static_cast<uint8_t>(c));
    }
  }
  return word;
}

std::string UnescapeFact(absl::string_view word) {
  std::string value;
  for (size_t i = 0; i < word.size(); ++i) {
    int byte = 0;
    if (word[i] == '%' && i + 2 < word.size() && absl::SimpleHexAtoi(word.substr(i + 1, 2), &byte)) {
      value += static_cast<char>(byte);
      i += 2;
    } else {
      value += word[i];
    }
  }
  return value;
}

int64_t NumberFact(const Facts& facts, const std::string& name) {
  int64_t number = 0;
  auto found = facts.find(name);
  return found != facts.end() && absl::SimpleAtoi(found->second, &number) ? number : 0;
}

Generation FromFacts(uint64_t number, std::string yaml, Facts& facts) {
  Generation generation = {.number = number, .source = facts["source"], .yaml = std::move(yaml)};
  generation.applied = absl::FromUnixSeconds(NumberFact(facts, "applied"));
  generation.by = facts["by"];
  generation.repeats = NumberFact(facts, "repeats");
  generation.left = NumberFact(facts, "left");
  generation.message = facts["message"];
  generation.boot = facts["boot"];
  generation.until = absl::Milliseconds(NumberFact(facts, "until-ms"));
  generation.timeout = absl::Milliseconds(NumberFact(facts, "timeout-ms"));
  return generation;
}

Facts ToFacts(const Generation& generation) {
  Facts facts = {{"number", absl::StrCat(generation.number)},
                 {"source", generation.source},
                 {"applied", absl::StrCat(absl::ToUnixSeconds(generation.applied))}};
  if (!generation.by.empty()) facts["by"] = generation.by;
  if (generation.repeats != 0) facts["repeats"] = absl::StrCat(generation.repeats);
  if (generation.left != 0) facts["left"] = absl::StrCat(generation.left);
  if (!generation.message.empty()) facts["message"] = generation.message;
  if (generation.fate == Generation::Fate::kApplied) return facts;
  facts["boot"] = generation.boot;
  facts["until-ms"] = absl::StrCat(absl::ToInt64Milliseconds(generation.until));
  facts["timeout-ms"] = absl::StrCat(absl::ToInt64Milliseconds(generation.timeout));
  facts["fate"] = generation.fate == Generation::Fate::kTrying ? "trying" : "reverted";
  return facts;
}

// False when the file is not whole; then `why` says what is wrong with it.
bool ReadGeneration(const std::string& folder, absl::string_view prefix, uint64_t number, Generation* generation,
                    std::string* why) {
  absl::StatusOr<std::string> sealed = ReadFile(absl::StrCat(folder, "/", FileName(prefix, number)), kMaxFile);
  Facts facts;
  std::string yaml;
  if (!sealed.ok() || !Unseal(*sealed, &yaml, &facts)) {
    *why = sealed.ok() ? "its checksum does not fit" : std::string(sealed.status().message());
    return false;
  }
  *generation = FromFacts(number, std::move(yaml), facts);
  if (prefix == kTrial) {
    generation->fate = facts["fate"] == "trying" ? Generation::Fate::kTrying : Generation::Fate::kReverted;
  }
  return true;
}

absl::Status WriteGeneration(const std::string& folder, absl::string_view prefix, Generation& generation) {
  // As it will be read back, so that a checksum of it is the same now and then.
  if (!absl::EndsWith(generation.yaml, "\n")) generation.yaml += '\n';
  std::string sealed = Seal(generation.yaml, ToFacts(generation));
  if (sealed.size() > kMaxFile) {
    return absl::InvalidArgumentError(absl::StrCat("save generation ", generation.number, ": ", sealed.size(),
                                                   " bytes, more than the ", kMaxFile, " that are read back"));
  }
  return Annotate(ReplaceFile(absl::StrCat(folder, "/", FileName(prefix, generation.number)), sealed, 0600),
                  absl::StrCat("save generation ", generation.number));
}

}  // namespace

std::string Seal(absl::string_view text, const Facts& facts) {
  std::string sealed(text);
  if (!absl::EndsWith(sealed, "\n")) sealed += '\n';
  std::string line = kTrailer;
  for (const auto& [name, value] : facts) absl::StrAppend(&line, " ", name, "=", EscapeFact(value));
  // The facts are under the sum too: a torn write must not turn one source into another.
  std::string sum = Sha256Hex(sealed + line);
  return absl::StrCat(sealed, line, " sha256=", sum, "\n");
}

bool Unseal(const std::string& sealed, std::string* text, Facts* facts) {
  size_t at = sealed.rfind(kTrailer);
  if (at == std::string::npos || !absl::EndsWith(sealed, "\n")) return false;
  size_t sum = sealed.rfind(" sha256=");
  if (sum == std::string::npos || sum < at) return false;
  if (sealed.substr(sum) != absl::StrCat(" sha256=", Sha256Hex(sealed.substr(0, sum)), "\n")) return false;
  *text = sealed.substr(0, at);
  for (absl::string_view word : absl::StrSplit(sealed.substr(at, sum - at), ' ')) {
    std::pair<std::string, std::string> fact = absl::StrSplit(word, absl::MaxSplits('=', 1));
    (*facts)[fact.first] = UnescapeFact(fact.second);
  }
  return true;
}

std::string Sha256Hex(absl::string_view text) {
  unsigned char sum[SHA256_DIGEST_LENGTH];
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), sum);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(sum), sizeof sum));
}

std::vector<Generation> ConfigStore::List(std::vector<std::string>* passed_over) const {
  std::map<uint64_t, Generation, std::greater<>> generations;
  // Applied ones last: one that was just confirmed may be there as both.
  for (const char* prefix : {kTrial, kApplied}) {
    for (uint64_t number : Numbers(folder_, prefix)) {
      Generation generation;
      std::string why;
      if (ReadGeneration(folder_, prefix, number, &generation, &why)) {
        generations[number] = std::move(generation);
      } else {
        passed_over->push_back(absl::StrCat("generation ", number, " is passed over: ", why));
      }
    }
  }
  std::vector<Generation> list;
  list.reserve(generations.size());
  for (auto& [number, generation] : generations) list.push_back(std::move(generation));
  return list;
}

absl::StatusOr<Generation> ConfigStore::Save(const std::string& yaml, const std::string& source, absl::Time now,
                                             const std::string& by) {
  return Save({.source = source, .applied = now, .yaml = yaml, .by = by});
}

absl::StatusOr<Generation> ConfigStore::Save(Generation generation) {
  RETURN_IF_ERROR(MakeDirectories(folder_, 0700));
  generation.number = NextNumber(folder_);
  generation.fate = Generation::Fate::kApplied;
  RETURN_IF_ERROR(WriteGeneration(folder_, kApplied, generation));
  // A whole one of those must always be left: the newest was just written and read by nobody yet.
  Forget(kApplied, kKept);
  return generation;
}

// The oldest beyond `kept` go.
void ConfigStore::Forget(const std::string& prefix, size_t kept) {
  std::vector<uint64_t> numbers = Numbers(folder_, prefix);
  for (size_t i = kept; i < numbers.size(); ++i) {
    if (numbers[i] != protected_) ::unlink(absl::StrCat(folder_, "/", FileName(prefix, numbers[i])).c_str());
  }
}

absl::StatusOr<Generation> ConfigStore::Try(Generation generation) {
  RETURN_IF_ERROR(MakeDirectories(folder_, 0700));
  generation.number = NextNumber(folder_);
  generation.fate = Generation::Fate::kTrying;
  RETURN_IF_ERROR(WriteGeneration(folder_, kTrial, generation));
  Forget(kTrial, kKeptTrials + 1);
  return generation;
}

absl::StatusOr<Generation> ConfigStore::ReadTrial(uint64_t number) const {
  Generation generation;
  std::string why;
  bool whole = ReadGeneration(folder_, kTrial, number, &generation, &why);
  if (whole && generation.fate == Generation::Fate::kTrying) return generation;
  return absl::NotFoundError(absl::StrCat("generation ", number, " is not on trial", why.empty() ? "" : ": ", why));
}

absl::StatusOr<Generation> ConfigStore::Confirm(uint64_t number) {
  ASSIGN_OR_RETURN(Generation generation, ReadTrial(number));
  generation.fate = Generation::Fate::kApplied;
  RETURN_IF_ERROR(WriteGeneration(folder_, kApplied, generation));
  // From here on it counts, whatever becomes of the other file.
  ::unlink(absl::StrCat(folder_, "/", FileName(kTrial, number)).c_str());
  Forget(kApplied, kKept);
  return generation;
}

absl::Status ConfigStore::Revert(uint64_t number, const std::string& message) {
  ASSIGN_OR_RETURN(Generation generation, ReadTrial(number));
  generation.fate = Generation::Fate::kReverted;
  generation.message = message;
  return WriteGeneration(folder_, kTrial, generation);
}

absl::Status ConfigStore::Stage(const std::string& yaml, const std::string& boot_id, absl::Time now,
                                const std::string& by) {
  RETURN_IF_ERROR(MakeDirectories(folder_, 0700));
  std::string sealed = Seal(
      yaml, {{"boot", boot_id}, {"applied", absl::StrCat(absl::ToUnixSeconds(now))}, {"by", by}, {"source", "api"}});
  return Annotate(ReplaceFile(folder_ + kStaged, sealed, 0600), "stage the configuration");
}

std::optional<Generation> ConfigStore::Staged() const {
  absl::StatusOr<std::string> sealed = ReadFile(folder_ + kStaged, kMaxFile);
  std::string yaml;
  Facts facts;
  if (!sealed.ok() || !Unseal(*sealed, &yaml, &facts)) return std::nullopt;
  return FromFacts(0, std::move(yaml), facts);
}

absl::StatusOr<bool> ConfigStore::PromoteStaged(const std::string& boot_id, absl::Time now) {
  std::string path = folder_ + kStaged;
  absl::StatusOr<std::string> sealed = ReadFile(path, kMaxFile);
  if (sealed.status().code() == absl::StatusCode::kNotFound) return false;
  std::optional<Generation> staged = Staged();
  if (staged.has_value() && staged->boot == boot_id) return false;
  // Saved before the staged one goes: a power cut between the two saves it twice, which changes nothing.
  if (staged.has_value()) RETURN_IF_ERROR(Save(staged->yaml, "api", now, staged->by).status());
  if (::unlink(path.c_str()) != 0) return ErrnoStatus("remove ", path);
  return staged.has_value();
}

}  // namespace stele::machined
