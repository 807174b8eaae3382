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
constexpr size_t kMaxFile = (1 << 20) + 4096;

std::string FileName(uint64_t number) { return absl::StrFormat("generation-%08d.yaml", number); }

// 0 for other files.
uint64_t NumberOf(absl::string_view name) {
  uint64_t number = 0;
  bool ours = absl::ConsumePrefix(&name, "generation-") && absl::ConsumeSuffix(&name, ".yaml") &&
              absl::SimpleAtoi(name, &number);
  return ours ? number : 0;
}

// Newest first.
std::vector<uint64_t> Numbers(const std::string& folder) {
  std::vector<uint64_t> numbers;
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), ::closedir);
  while (entries != nullptr) {
    dirent* entry = ::readdir(entries.get());
    if (entry == nullptr) break;
    if (uint64_t number = NumberOf(entry->d_name)) numbers.push_back(number);
  }
  std::sort(numbers.rbegin(), numbers.rend());
  return numbers;
}

std::string Seal(absl::string_view yaml, const std::map<std::string, std::string>& facts) {
  std::string text(yaml);
  if (!absl::EndsWith(text, "\n")) text += '\n';
  std::string line = kTrailer;
  for (const auto& [name, value] : facts) absl::StrAppend(&line, " ", name, "=", value);
  // The facts are under the sum too: a torn write must not turn one source into another.
  std::string sum = Sha256Hex(text + line);
  return absl::StrCat(text, line, " sha256=", sum, "\n");
}

// Takes a sealed text apart; false when it is not whole.
bool Unseal(const std::string& sealed, std::string* yaml, std::map<std::string, std::string>* facts) {
  size_t at = sealed.rfind(kTrailer);
  if (at == std::string::npos || !absl::EndsWith(sealed, "\n")) return false;
  size_t sum = sealed.rfind(" sha256=");
  if (sum == std::string::npos || sum < at) return false;
  if (sealed.substr(sum) != absl::StrCat(" sha256=", Sha256Hex(sealed.substr(0, sum)), "\n")) return false;
  *yaml = sealed.substr(0, at);
  for (absl::string_view word : absl::StrSplit(sealed.substr(at, sum - at), ' ')) {
    std::pair<std::string, std::string> fact = absl::StrSplit(word, absl::MaxSplits('=', 1));
    (*facts)[fact.first] = fact.second;
  }
  return true;
}

absl::Time TimeOf(const std::map<std::string, std::string>& facts) {
  int64_t seconds = 0;
  auto found = facts.find("applied");
  if (found != facts.end() && !absl::SimpleAtoi(found->second, &seconds)) seconds = 0;
  return absl::FromUnixSeconds(seconds);
}

}  // namespace

std::string Sha256Hex(absl::string_view text) {
  unsigned char sum[SHA256_DIGEST_LENGTH];
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), sum);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(sum), sizeof sum));
}

std::vector<Generation> ConfigStore::List(std::vector<std::string>* passed_over) const {
  std::vector<Generation> generations;
  for (uint64_t number : Numbers(folder_)) {
    std::string path = absl::StrCat(folder_, "/", FileName(number));
    absl::StatusOr<std::string> sealed = ReadFile(path, kMaxFile);
    std::map<std::string, std::string> facts;
    Generation generation = {.number = number};
    if (!sealed.ok() || !Unseal(*sealed, &generation.yaml, &facts)) {
      passed_over->push_back(absl::StrCat("generation ", number, " is passed over: ",
                                          sealed.ok() ? "its checksum does not fit" : sealed.status().message()));
      continue;
    }
    generation.source = facts["source"];
    generation.applied = TimeOf(facts);
    generations.push_back(std::move(generation));
  }
  return generations;
}

absl::StatusOr<Generation> ConfigStore::Save(const std::string& yaml, const std::string& source, absl::Time now) {
  RETURN_IF_ERROR(MakeDirectories(folder_, 0700));
  std::vector<uint64_t> numbers = Numbers(folder_);
  Generation generation = {numbers.empty() ? 1 : numbers.front() + 1, source, now, yaml};
  std::string sealed = Seal(yaml, {{"number", absl::StrCat(generation.number)},
                                   {"source", source},
                                   {"applied", absl::StrCat(absl::ToUnixSeconds(now))}});
  RETURN_IF_ERROR(Annotate(ReplaceFile(absl::StrCat(folder_, "/", FileName(generation.number)), sealed, 0600),
                           absl::StrCat("save generation ", generation.number)));
  // A whole one of those must always be left: the newest was just written and read by nobody yet.
  for (size_t i = kKept - 1; i < numbers.size(); ++i)
    ::unlink(absl::StrCat(folder_, "/", FileName(numbers[i])).c_str());
  return generation;
}

absl::Status ConfigStore::Stage(const std::string& yaml, const std::string& boot_id, absl::Time now) {
  RETURN_IF_ERROR(MakeDirectories(folder_, 0700));
  std::string sealed = Seal(yaml, {{"boot", boot_id}, {"applied", absl::StrCat(absl::ToUnixSeconds(now))}});
  return Annotate(ReplaceFile(folder_ + kStaged, sealed, 0600), "stage the configuration");
}

absl::StatusOr<bool> ConfigStore::PromoteStaged(const std::string& boot_id, absl::Time now) {
  std::string path = folder_ + kStaged;
  absl::StatusOr<std::string> sealed = ReadFile(path, kMaxFile);
  if (sealed.status().code() == absl::StatusCode::kNotFound) return false;
  std::string yaml;
  std::map<std::string, std::string> facts;
  bool whole = sealed.ok() && Unseal(*sealed, &yaml, &facts);
  if (whole && facts["boot"] == boot_id) return false;
  // Saved before the staged one goes: a power cut between the two saves it twice, which changes nothing.
  if (whole) RETURN_IF_ERROR(Save(yaml, "api", now).status());
  if (::unlink(path.c_str()) != 0) return ErrnoStatus("remove ", path);
  return whole;
}

}  // namespace stele::machined
