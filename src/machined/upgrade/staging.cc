#include "machined/upgrade/staging.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "image_file/chunk_check.h"
#include "machined/upgrade/loader.h"
#include "machined/upgrade/slot_device.h"

namespace stele::machined {
namespace {

using image::v1::PartKind;

// A part is read back in pieces of this size while the next bytes are under way: each is a flush of the disk, and
// stays in memory until then.
constexpr size_t kReadBack = 4 << 20;

std::string RootHash(const image_file::Header& header) { return header.manifest.verity().root_hash(); }
std::string RootHashHex(const image_file::Header& header) { return absl::BytesToHexString(RootHash(header)); }

PartHashes HashesOf(const image_file::Header& header, int part) {
  const image::v1::Part& p = header.part(part);
  return {p.size(), p.sha256(), {p.chunks().begin(), p.chunks().end()}, header.manifest.chunk_size()};
}

// `whole`: its bytes were compared already, what is left is its name, its size and what is in it.
absl::Status VerifyUki(const UpgradePlace& place, const image_file::Header& header, uint64_t number, bool whole) {
  ASSIGN_OR_RETURN(Esp esp, Esp::Open(place.esp.target()));
  const image::v1::Part& uki = header.part(header.Find(PartKind::PART_KIND_UKI));
  ExpectedFile expected = {uki.size(), uki.sha256(), RootHashHex(header)};
  if (whole) expected.sha256.reset();
  return esp.VerifyWritten(number, expected);
}

}  // namespace

const std::vector<StageStep>& StageSteps() {
  static const std::vector<StageStep> steps = {
      {"check", &Staging::Check},
      {"prepare", &Staging::Prepare},
      {"write", &Staging::Write},
      {"verify", &Staging::Verify},
  };
  return steps;
}

Staging::Staging(const UpgradePlace& place, const UpgradeStore& store, const image_file::TrustedKeys& keys,
                 StageRequest request, Callbacks callbacks)
    : place_(place), store_(store), keys_(keys), request_(std::move(request)), callbacks_(std::move(callbacks)) {}

absl::Status Staging::Run() {
  for (const StageStep& step : StageSteps()) {
    RETURN_IF_ERROR(callbacks_.keep_going());
    callbacks_.begins(step.name);
    RETURN_IF_ERROR(Annotate((this->*step.run)(), step.name));
    if (request_.validate_only) {
      callbacks_.progress({"check", 0});
      return absl::OkStatus();
    }
  }
  callbacks_.progress({"staged", header_.total_size});
  return absl::OkStatus();
}

// --- prepare

// Whether a name that boots is not the running image's. One that cannot be read may be, unless another is seen to be.
// Another: a disk that answers at the second try would make the running image itself the proof that it may go.
bool Staging::Goes(const Esp& esp, const std::vector<BootEntry>& entries, const BootEntry& entry) const {
  absl::StatusOr<std::string> root_hash = esp.RootHashIn(entry);
  if (root_hash.ok()) return *root_hash != place_.running_root_hash;
  return std::any_of(entries.begin(), entries.end(), [&](const BootEntry& other) {
    return other != entry && other.bootable() && esp.RootHashIn(other).value_or("") == place_.running_root_hash;
  });
}

absl::Status Staging::RemoveOthers(Esp& esp, uint64_t keep_number) {
  ASSIGN_OR_RETURN(std::vector<BootEntry> entries, esp.List());
  for (const BootEntry& entry : entries) {
    if (entry.bootable() ? !Goes(esp, entries, entry) : entry.number == keep_number) continue;
    // A second name of the same data, left by a power cut: under neither may it be freed, and neither may boot any
    // more.
    RETURN_IF_ERROR(esp.RemoveOrSetAside(entry));
  }
  return absl::OkStatus();
}

absl::Status Staging::Prepare() {
  std::vector<std::string> passed_over;
  record_ = store_.Load(&passed_over);
  ASSIGN_OR_RETURN(Esp esp, Esp::Open(place_.esp.target()));
  ASSIGN_OR_RETURN(std::vector<BootEntry> entries, esp.List());
  // An earlier call for the same image goes on in its file. Not where that has a second name, as a cut in its
  // activation leaves: what may boot, or has failed, is not written.
  BootEntry begun = {.number = record_.number(), .kind = BootEntry::Kind::kWritten};
  auto has_its_number = [&](const BootEntry& entry) { return entry.number == begun.number; };
  bool resumes =
      record_.root_hash() == RootHash(header_) && std::find(entries.begin(), entries.end(), begun) != entries.end() &&
      std::count_if(entries.begin(), entries.end(), has_its_number) == 1 && NextNumber(entries) == record_.number() + 1;
  uint64_t number = resumes ? record_.number() : NextNumber(entries);
  ASSIGN_OR_RETURN(EspWindow window, place_.esp.OpenWindow());
  // The UKI first: it must not outlive the root that it names.
  RETURN_IF_ERROR(RemoveOthers(esp, resumes ? number : 0));
  if (int loader = header_.Find(PartKind::PART_KIND_LOADER); loader >= 0) {
    ASSIGN_OR_RETURN(Loader loaders, Loader::Open(place_.esp.target()));
    RETURN_IF_ERROR(loaders.RemoveUnfinished(header_.part(loader).sha256()));
  }
  RETURN_IF_ERROR(window.Close());
  RETURN_IF_ERROR(store_.SaveManifest(place_.other_slot, request_.header));
  record_ = UpgradeRecord();
  record_.set_state(resource::v1::UPGRADE_STATE_STAGING);
  record_.set_version(version());
  record_.set_from_version(place_.running_version);
  record_.set_slot(place_.other_slot);
  record_.set_number(number);
  record_.set_root_hash(RootHash(header_));
  record_.set_asked_by(request_.asked_by);
  SetTime(absl::Now(), *record_.mutable_since());
  return store_.Save(record_);
}

// --- write

absl::Status Staging::OpenTarget(int part) {
  target_.reset();
  proven_ = 0;
  uint64_t size = header_.part(part).size();
  if (header_.part(part).kind() == PartKind::PART_KIND_ROOT) {
    ASSIGN_OR_RETURN(SlotDevice slot, SlotDevice::Open(place_.other_device));
    target_ = std::make_unique<SlotDevice>(std::move(slot));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(EspWindow window, place_.esp.OpenWindow());
  window_ = std::move(window);
  if (header_.part(part).kind() == PartKind::PART_KIND_LOADER) {
    ASSIGN_OR_RETURN(Loader loader, Loader::Open(place_.esp.target()));
    ASSIGN_OR_RETURN(EspFile file, loader.BeginWrite(header_.part(part).sha256(), size));
    target_ = std::make_unique<EspFile>(std::move(file));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Esp esp, Esp::Open(place_.esp.target()));
  ASSIGN_OR_RETURN(EspFile file, esp.BeginWrite(record_.number(), size));
  target_ = std::make_unique<EspFile>(std::move(file));
  return absl::OkStatus();
}

// Whether a part needs no byte: a loader that the ESP has already.
absl::StatusOr<bool> Staging::IsThere(int part) {
  if (header_.part(part).kind() != PartKind::PART_KIND_LOADER) return false;
  ASSIGN_OR_RETURN(Loader loader, Loader::Open(place_.esp.target()));
  return loader.Has(header_.part(part).sha256(), header_.part(part).size());
}

// The offset in the file up to which everything is on the disk. The target of the part there is open.
absl::StatusOr<uint64_t> Staging::FindStart() {
  for (int part = 0; part < header_.part_count(); ++part) {
    ASSIGN_OR_RETURN(bool there, IsThere(part));
    if (there) continue;
    RETURN_IF_ERROR(OpenTarget(part));
    PartHashes hashes = HashesOf(header_, part);
    absl::StatusOr<uint64_t> matching = target_->MatchingPrefix(hashes, callbacks_.keep_going);
    RETURN_IF_ERROR(Annotate(matching.status(), "look at what is there"));
    proven_ = *matching;
    if (*matching < hashes.size) return header_.offsets[part] + *matching;
    RETURN_IF_ERROR(FinishPart(part));
  }
  return header_.total_size;
}

absl::Status Staging::Write() {
  ASSIGN_OR_RETURN(uint64_t position, FindStart());
  callbacks_.progress({"write", position});
  absl::Status received = Receive(position);
  target_.reset();  // before the window closes
  absl::Status closed = window_.Close();
  return received.ok() ? closed : received;
}

absl::Status Staging::Receive(uint64_t position) {
  while (position < header_.total_size) {
    RETURN_IF_ERROR(callbacks_.keep_going());
    ASSIGN_OR_RETURN(std::string bytes, callbacks_.next());
    if (bytes.empty()) {
      return absl::AbortedError(absl::StrCat("the stream ended at ", position, " of ", header_.total_size,
                                             " bytes: send the image again, what is here is kept"));
    }
    if (bytes.size() > header_.total_size - position) {
      return absl::InvalidArgumentError(absl::StrCat("more than the image's ", header_.total_size, " bytes arrived"));
    }
    RETURN_IF_ERROR(Take(position, bytes));
    position += bytes.size();
  }
  return absl::OkStatus();
}

// Bytes of the file that begin at `position`: of parts, or of the zeros between them.
absl::Status Staging::Take(uint64_t position, absl::string_view bytes) {
  while (!bytes.empty()) {
    int part = header_.part_count() - 1;
    while (part >= 0 && header_.offsets[part] > position) --part;
    if (part < 0) return absl::InternalError("bytes before the first part");
    uint64_t within = position - header_.offsets[part];
    uint64_t size = header_.part(part).size();
    uint64_t end =
        within < size
            ? std::min<uint64_t>(size, (within / header_.manifest.chunk_size() + 1) * header_.manifest.chunk_size())
            : image_file::Padded(size);
    absl::string_view piece = bytes.substr(0, end - within);
    if (within >= size) {
      if (piece.find_first_not_of('\0') != absl::string_view::npos) {
        return absl::DataLossError(absl::StrCat("the bytes behind part ", part, " are not zero"));
      }
    } else {
      chunk_.append(piece.data(), piece.size());
      if (within + piece.size() == end) RETURN_IF_ERROR(FinishChunk(part, within + piece.size() - chunk_.size()));
    }
    bytes.remove_prefix(piece.size());
    position += piece.size();
  }
  return absl::OkStatus();
}

absl::Status Staging::FinishChunk(int part, uint64_t offset) {
  RETURN_IF_ERROR(image_file::CheckChunk(header_, part, offset / header_.manifest.chunk_size(), chunk_));
  ASSIGN_OR_RETURN(bool there, IsThere(part));
  uint64_t end = offset + chunk_.size();
  if (!there) {
    if (target_ == nullptr) RETURN_IF_ERROR(OpenTarget(part));
    RETURN_IF_ERROR(target_->Write(offset, chunk_));
    unread_ += chunk_;
    if (unread_.size() >= kReadBack) RETURN_IF_ERROR(ReadBack());
    if (end == header_.part(part).size()) RETURN_IF_ERROR(FinishPart(part));
  }
  chunk_.clear();
  callbacks_.progress({"write", header_.offsets[part] + end});
  return absl::OkStatus();
}

// What was written by now is on the disk as it is here, where each chunk's hash was checked.
absl::Status Staging::ReadBack() {
  absl::string_view rest = unread_;
  RETURN_IF_ERROR(target_->ReadBack(proven_, proven_ + rest.size(), [&](absl::string_view bytes) {
    if (!absl::ConsumePrefix(&rest, bytes)) {
      return absl::DataLossError(absl::StrCat("what is on the disk from byte ", proven_, " to ",
                                              proven_ + unread_.size(), " is not what was written"));
    }
    return absl::OkStatus();
  }));
  proven_ += unread_.size();
  unread_.clear();
  return absl::OkStatus();
}

absl::Status Staging::FinishPart(int part) {
  PartKind kind = header_.part(part).kind();
  // Also what an earlier call wrote: it was read from the disk, and may be in its cache alone.
  RETURN_IF_ERROR(Annotate(unread_.empty() ? target_->Flush() : ReadBack(), image_file::PartName(kind)));
  if (proven_ == header_.part(part).size()) whole_.insert(kind);
  target_.reset();
  return window_.Close();
}

// --- verify

absl::Status Staging::Verify() {
  callbacks_.progress({"verify", header_.total_size});
  RETURN_IF_ERROR(VerifyUki(place_, header_, record_.number(), whole_.count(PartKind::PART_KIND_UKI) > 0));
  if (whole_.count(PartKind::PART_KIND_ROOT) == 0) RETURN_IF_ERROR(VerifyRoot(place_, header_, callbacks_.keep_going));
  if (int loader = header_.Find(PartKind::PART_KIND_LOADER); loader >= 0) {
    ASSIGN_OR_RETURN(bool there, IsThere(loader));
    ASSIGN_OR_RETURN(Loader loaders, Loader::Open(place_.esp.target()));
    if (!there) RETURN_IF_ERROR(loaders.VerifyWritten(header_.part(loader).sha256(), header_.part(loader).size()));
  }
  record_.set_state(resource::v1::UPGRADE_STATE_STAGED);
  SetTime(absl::Now(), *record_.mutable_since());
  return store_.Save(record_);
}

absl::Status VerifyStaged(const UpgradePlace& place, const image_file::Header& header, uint64_t number,
                          const KeepGoing& keep_going) {
  RETURN_IF_ERROR(VerifyUki(place, header, number, false));
  RETURN_IF_ERROR(keep_going());
  return VerifyRoot(place, header, keep_going);
}

absl::Status VerifyRoot(const UpgradePlace& place, const image_file::Header& header, const KeepGoing& keep_going) {
  ASSIGN_OR_RETURN(SlotDevice slot, SlotDevice::Open(place.other_device));
  return slot.Verify(HashesOf(header, header.Find(PartKind::PART_KIND_ROOT)), keep_going);
}

}  // namespace stele::machined
