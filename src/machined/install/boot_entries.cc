#include "machined/install/boot_entries.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "machined/install/disk_selector.h"
#include "machined/storage_probe.h"

namespace stele::machined {
namespace {

constexpr char kDescription[] = "Stele";
constexpr size_t kMaxEntries = 1000;
// Types of device path nodes (UEFI, 10.3).
constexpr uint8_t kMedia = 4, kHardDrive = 1, kFilePath = 4, kEnd = 0x7f, kEndAll = 0xff;
constexpr size_t kNodeHeader = 4, kHardDriveSize = 42;

template <typename T>
void Append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);  // x86 is little-endian, as EFI is
}

template <typename T>
T Load(absl::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

void AppendUtf16(std::string* out, absl::string_view ascii) {
  for (char c : ascii) Append<uint16_t>(out, static_cast<uint8_t>(c));
  Append<uint16_t>(out, 0);
}

// Up to a zero or the end; `*used` is what it took, with the zero.
std::string ReadUtf16(absl::string_view bytes, size_t* used) {
  std::string text;
  size_t at = 0;
  for (; at + 1 < bytes.size(); at += 2) {
    uint16_t c = Load<uint16_t>(bytes, at);
    if (c == 0) break;
    text += c < 0x80 ? static_cast<char>(c) : '?';
  }
  *used = std::min(at + 2, bytes.size());
  return text;
}

// A GUID's bytes: its first three groups are little-endian numbers.
constexpr int kGuidOrder[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

absl::StatusOr<std::string> GuidBytes(const std::string& text) {
  std::string hex = absl::StrReplaceAll(text, {{"-", ""}});
  bool good = text.size() == 36 && hex.size() == 32 && std::all_of(hex.begin(), hex.end(), absl::ascii_isxdigit);
  if (!good) return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a partition's UUID"));
  std::string plain = absl::HexStringToBytes(hex), bytes(16, '\0');
  for (int i = 0; i < 16; ++i) bytes[i] = plain[kGuidOrder[i]];
  return bytes;
}

std::string GuidText(absl::string_view bytes) {
  std::string plain(16, '\0');
  for (int i = 0; i < 16; ++i) plain[kGuidOrder[i]] = bytes[i];
  std::string hex = absl::BytesToHexString(plain);
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-", hex.substr(16, 4), "-",
                      hex.substr(20));
}

void AppendNode(std::string* path, uint8_t type, uint8_t subtype, absl::string_view body) {
  Append(path, type);
  Append(path, subtype);
  Append<uint16_t>(path, kNodeHeader + body.size());
  path->append(body.data(), body.size());
}

bool IsOurs(const LoadOption& option, const EspPartition& esp, const PartitionIsGone& is_gone) {
  if (option.partition.uuid.empty()) return false;
  if (absl::EqualsIgnoreCase(option.partition.uuid, esp.uuid)) return true;
  return option.description == kDescription && IsOurLoader(option.file) && is_gone(option.partition.uuid);
}

std::string OrderName() { return absl::StrCat("BootOrder-", kEfiGlobalGuid); }
std::string VariableName(uint16_t number) { return absl::StrFormat("Boot%04X-%s", number, kEfiGlobalGuid); }

// What the entry of a loader of ours holds; empty for no loader.
absl::StatusOr<std::string> EntryFor(const std::string& loader, const EspPartition& esp) {
  if (loader.empty()) return std::string();
  return EncodeLoadOption({.description = kDescription, .partition = esp, .file = WithBackslashes(loader)});
}

}  // namespace

std::string WithBackslashes(const std::string& path) {
  std::string file = absl::StrReplaceAll(path, {{"/", "\\"}});
  return absl::StartsWith(file, "\\") ? file : absl::StrCat("\\", file);
}

bool IsOurLoader(const std::string& file) {
  std::string lower = absl::AsciiStrToLower(file);
  return absl::StartsWith(lower, "\\efi\\systemd\\boot-") || lower == "\\efi\\boot\\bootx64.efi" ||
         lower == "\\efi\\systemd\\systemd-bootx64.efi";
}

absl::StatusOr<std::string> EncodeLoadOption(const LoadOption& option) {
  ASSIGN_OR_RETURN(std::string guid, GuidBytes(option.partition.uuid));
  std::string drive, file, path;
  Append<uint32_t>(&drive, option.partition.number);
  Append<uint64_t>(&drive, option.partition.start);
  Append<uint64_t>(&drive, option.partition.size);
  drive += guid;
  drive += "\2\2";  // GPT, and a GUID as signature
  AppendUtf16(&file, option.file);
  if (file.size() > 4096) return absl::InvalidArgumentError("the loader's path is too long");
  AppendNode(&path, kMedia, kHardDrive, drive);
  AppendNode(&path, kMedia, kFilePath, file);
  AppendNode(&path, kEnd, kEndAll, "");
  std::string bytes;
  Append<uint32_t>(&bytes, option.attributes);
  Append<uint16_t>(&bytes, path.size());
  AppendUtf16(&bytes, option.description);
  return bytes + path;
}

absl::StatusOr<LoadOption> DecodeLoadOption(absl::string_view bytes) {
  if (bytes.size() < 6) return absl::InvalidArgumentError("shorter than a load option");
  LoadOption option;
  option.attributes = Load<uint32_t>(bytes, 0);
  size_t path_size = Load<uint16_t>(bytes, 4), used = 0;
  bytes.remove_prefix(6);
  option.description = ReadUtf16(bytes, &used);
  bytes.remove_prefix(used);
  if (path_size > bytes.size()) return absl::InvalidArgumentError("its device path goes beyond its end");
  absl::string_view path = bytes.substr(0, path_size);
  while (path.size() >= kNodeHeader) {
    uint8_t type = path[0], subtype = path[1];
    size_t size = Load<uint16_t>(path, 2);
    if (size < kNodeHeader || size > path.size())
      return absl::InvalidArgumentError("a node of its device path is torn");
    absl::string_view body = path.substr(kNodeHeader, size - kNodeHeader);
    if (type == kEnd) break;
    if (type == kMedia && subtype == kHardDrive && size == kHardDriveSize && body[36] == 2 && body[37] == 2) {
      option.partition = {Load<uint32_t>(body, 0), Load<uint64_t>(body, 4), Load<uint64_t>(body, 12),
                          GuidText(body.substr(20, 16))};
    } else if (type == kMedia && subtype == kFilePath) {
      option.file += ReadUtf16(body, &used);
    }
    path.remove_prefix(size);
  }
  return option;
}

bool IsOnNoDisk(const std::string& uuid) {
  std::vector<std::string> disks;
  for (const DiskInfo& disk : ListDisks()) disks.push_back(disk.device);
  return IsOnNoneOf(disks, uuid);
}

bool IsOnNoneOf(const std::vector<std::string>& disks, const std::string& uuid) {
  for (const std::string& disk : disks) {
    absl::StatusOr<DiskContents> contents = ProbeDisk(disk);
    if (!contents.ok()) return false;
    for (const Partition& part : contents->partitions) {
      if (absl::EqualsIgnoreCase(part.uuid, uuid)) return false;
    }
  }
  return !disks.empty();  // whoever sees none does not see the one it runs from either
}

absl::StatusOr<BootEntryPlan> PlanBootEntries(const std::map<uint16_t, std::string>& existing,
                                              const std::vector<uint16_t>& order, const LoaderOrder& loaders,
                                              const EspPartition& esp, const PartitionIsGone& is_gone) {
  struct Wanted {
    std::string bytes;
    size_t count = 0;
    std::vector<uint16_t> numbers;
  } wanted[] = {{.count = kBootEntries}, {.count = loaders.behind.empty() ? 0u : 1u}};
  ASSIGN_OR_RETURN(wanted[0].bytes, EntryFor(loaders.first, esp));
  ASSIGN_OR_RETURN(wanted[1].bytes, EntryFor(loaders.behind, esp));
  BootEntryPlan plan;
  std::set<uint16_t> ours;
  for (const auto& [number, value] : existing) {
    absl::StatusOr<LoadOption> option = DecodeLoadOption(value);
    if (!option.ok() || !IsOurs(*option, esp, is_gone)) continue;  // what we do not understand is somebody's
    ours.insert(number);
    auto kept = std::find_if(std::begin(wanted), std::end(wanted), [&value = value](const Wanted& each) {
      return each.bytes == value && each.numbers.size() < each.count;
    });
    if (kept != std::end(wanted)) {
      kept->numbers.push_back(number);
    } else {
      plan.remove.push_back(number);
    }
  }
  uint32_t free = 0;
  for (Wanted& each : wanted) {
    for (; each.numbers.size() < each.count && free <= 0xffff; ++free) {
      if (existing.count(free) != 0) continue;
      each.numbers.push_back(free);
      plan.write[free] = each.bytes;
      ours.insert(free);
    }
    plan.order.insert(plan.order.end(), each.numbers.begin(), each.numbers.end());
  }
  for (uint16_t number : order) {
    if (ours.count(number) == 0 && plan.order.size() < kMaxEntries) plan.order.push_back(number);
  }
  plan.order_changes = plan.order != order;
  return plan;
}

namespace {

absl::StatusOr<std::map<uint16_t, std::string>> ReadEntries(const EfiVariables& variables) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, variables.List("Boot"));
  std::map<uint16_t, std::string> entries;
  for (const std::string& name : names) {
    uint32_t number = 0;
    if (name.size() != 8 + 1 + 36 || !absl::EndsWith(name, kEfiGlobalGuid)) continue;
    if (!absl::SimpleHexAtoi(name.substr(4, 4), &number)) continue;
    absl::StatusOr<EfiVariable> variable = variables.Read(name);
    // Its number is taken, whatever it holds.
    entries[number] = variable.ok() ? variable->data : "";
    if (entries.size() >= kMaxEntries) break;
  }
  return entries;
}

// Empty where there is none yet. Any other failure is one: an order that is not known must not be written over.
absl::StatusOr<std::vector<uint16_t>> ReadOrder(const EfiVariables& variables) {
  absl::StatusOr<EfiVariable> variable = variables.Read(OrderName());
  std::vector<uint16_t> order;
  if (absl::IsNotFound(variable.status())) return order;
  RETURN_IF_ERROR(variable.status());
  for (size_t i = 0; i + 1 < variable->data.size(); i += 2) order.push_back(Load<uint16_t>(variable->data, i));
  return order;
}

// After a failure: what was added is of no use and takes room that the firmware may need.
void RemoveQuietly(const EfiVariables& variables, const std::vector<uint16_t>& numbers) {
  for (uint16_t number : numbers) variables.Remove(VariableName(number)).IgnoreError();
}

}  // namespace

absl::Status PointBootEntriesTo(const LoaderOrder& loaders, const EspPartition& esp, const EfiVariables& variables,
                                const PartitionIsGone& is_gone) {
  RETURN_IF_ERROR(variables.Prepare());
  ASSIGN_OR_RETURN(auto existing, ReadEntries(variables));
  ASSIGN_OR_RETURN(std::vector<uint16_t> order, ReadOrder(variables));
  ASSIGN_OR_RETURN(BootEntryPlan plan, PlanBootEntries(existing, order, loaders, esp, is_gone));
  std::vector<uint16_t> written;
  for (const auto& [number, bytes] : plan.write) {
    absl::Status status = variables.Write(VariableName(number), {kEfiBootVariable, bytes});
    if (!status.ok()) {
      RemoveQuietly(variables, written);
      return status;
    }
    written.push_back(number);
  }
  if (plan.order_changes) {
    std::string bytes;
    for (uint16_t number : plan.order) Append(&bytes, number);
    absl::Status status = variables.Write(OrderName(), {kEfiBootVariable, bytes});
    if (!status.ok()) {
      RemoveQuietly(variables, written);
      return status;
    }
  }
  for (uint16_t number : plan.remove) RETURN_IF_ERROR(variables.Remove(VariableName(number)));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> LoadersInOrder(const EspPartition& esp, const EfiVariables& variables) {
  RETURN_IF_ERROR(variables.Prepare());
  ASSIGN_OR_RETURN(auto existing, ReadEntries(variables));
  ASSIGN_OR_RETURN(std::vector<uint16_t> order, ReadOrder(variables));
  std::vector<std::string> files;
  for (uint16_t number : order) {
    auto entry = existing.find(number);
    absl::StatusOr<LoadOption> option = entry == existing.end() ? LoadOption() : DecodeLoadOption(entry->second);
    if (!option.ok() || !absl::EqualsIgnoreCase(option->partition.uuid, esp.uuid)) continue;
    auto same = [&](const std::string& file) { return absl::EqualsIgnoreCase(file, option->file); };
    if (std::none_of(files.begin(), files.end(), same)) files.push_back(option->file);
  }
  return files;
}

}  // namespace stele::machined
