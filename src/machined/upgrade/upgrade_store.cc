#include "machined/upgrade/upgrade_store.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "base/file.h"
#include "image_file/sha256.h"

namespace stele::machined {
namespace {

// A record's file: this, the SHA-256 of what follows, the message.
constexpr absl::string_view kMagic = "STELEREC";
constexpr size_t kMaxFile = 256 * 1024;
constexpr size_t kMaxMessage = 8 * 1024;
constexpr size_t kMaxName = 512;

}  // namespace

std::string Bounded(absl::string_view text, size_t limit) {
  std::string out;
  for (char c : text.substr(0, limit)) {
    // What is no printable ASCII comes from somebody's log; a record needs none of it.
    out.push_back(c == '\n' || (c >= 0x20 && c < 0x7f) ? c : '?');
  }
  return out;
}

void SetTime(absl::Time time, google::protobuf::Timestamp& out) { out.set_seconds(absl::ToUnixSeconds(time)); }

absl::Time TimeOf(const google::protobuf::Timestamp& timestamp) { return absl::FromUnixSeconds(timestamp.seconds()); }

template <typename Message>
std::optional<Message> UpgradeStore::LoadMessage(const char* name, std::vector<std::string>* passed_over) const {
  std::string path = absl::StrCat(folder_, "/", name);
  absl::StatusOr<std::string> text = ReadFile(path, kMaxFile);
  if (absl::IsNotFound(text.status())) return std::nullopt;
  if (!text.ok()) {
    passed_over->push_back(std::string(text.status().message()));
    return std::nullopt;
  }
  absl::string_view rest = *text;
  Message message;
  bool whole = rest.size() >= kMagic.size() + image_file::kSha256Size && absl::StartsWith(rest, kMagic);
  if (whole) {
    rest.remove_prefix(kMagic.size());
    absl::string_view body = rest.substr(image_file::kSha256Size);
    whole = image_file::Sha256Of(body) == rest.substr(0, image_file::kSha256Size) &&
            message.ParseFromArray(body.data(), body.size());
  }
  if (whole) return message;
  passed_over->push_back(absl::StrCat(path, " is damaged and passed over"));
  return std::nullopt;
}

absl::Status UpgradeStore::SaveMessage(const char* name, const google::protobuf::MessageLite& message) const {
  RETURN_IF_ERROR(MakeDirectories(folder_, 0700));
  std::string body;
  if (!message.SerializeToString(&body)) return absl::InternalError(absl::StrCat("write ", name, ": not a message"));
  return ReplaceFile(absl::StrCat(folder_, "/", name), absl::StrCat(kMagic, image_file::Sha256Of(body), body), 0600);
}

UpgradeRecord UpgradeStore::Load(std::vector<std::string>* passed_over) const {
  UpgradeRecord record = LoadMessage<UpgradeRecord>("current", passed_over).value_or(UpgradeRecord());
  // Also one that a later version wrote, whose states are more.
  if (!resource::v1::UpgradeState_IsValid(record.state()) ||
      record.state() == resource::v1::UPGRADE_STATE_UNSPECIFIED) {
    record.set_state(resource::v1::UPGRADE_STATE_NONE);
  }
  return record;
}

absl::Status UpgradeStore::Save(const UpgradeRecord& record) const {
  UpgradeRecord bounded = record;
  bounded.set_message(Bounded(record.message(), kMaxMessage));
  bounded.set_asked_by(Bounded(record.asked_by(), kMaxName));
  return SaveMessage("current", bounded);
}

std::optional<image::v1::FetchRecord> UpgradeStore::LoadFetch(std::vector<std::string>* passed_over) const {
  return LoadMessage<image::v1::FetchRecord>("fetch", passed_over);
}

absl::Status UpgradeStore::SaveFetch(const image::v1::FetchRecord& record) const {
  return SaveMessage("fetch", record);
}

std::vector<FailedImage> UpgradeStore::Failures(std::vector<std::string>* passed_over) const {
  std::optional<image::v1::FailedImages> failed = LoadMessage<image::v1::FailedImages>("failed", passed_over);
  if (!failed.has_value()) return {};
  return {failed->images().begin(), failed->images().end()};
}

absl::Status UpgradeStore::SaveFailures(const std::vector<FailedImage>& failures) const {
  image::v1::FailedImages failed;
  for (const FailedImage& failure : failures) *failed.add_images() = failure;
  return SaveMessage("failed", failed);
}

absl::Status UpgradeStore::AddFailure(const FailedImage& failure) const {
  std::vector<std::string> passed_over;  // told by whoever read it first
  std::vector<FailedImage> failures = Failures(&passed_over);
  failures.erase(std::remove_if(failures.begin(), failures.end(),
                                [&](const FailedImage& other) { return other.root_hash() == failure.root_hash(); }),
                 failures.end());
  failures.push_back(failure);
  failures.back().set_reason(Bounded(failure.reason(), kMaxMessage));
  if (failures.size() > kKeptFailures) failures.erase(failures.begin(), failures.end() - kKeptFailures);
  return SaveFailures(failures);
}

absl::Status UpgradeStore::ForgetFailure(const std::string& root_hash) const {
  std::vector<std::string> passed_over;
  std::vector<FailedImage> failures = Failures(&passed_over);
  auto end = std::remove_if(failures.begin(), failures.end(),
                            [&](const FailedImage& failure) { return failure.root_hash() == root_hash; });
  if (end == failures.end()) return absl::OkStatus();
  failures.erase(end, failures.end());
  return SaveFailures(failures);
}

std::optional<image_file::Header> UpgradeStore::Manifest(const std::string& slot,
                                                         std::vector<std::string>* passed_over) const {
  std::string path = absl::StrCat(folder_, "/", slot, ".manifest");
  absl::StatusOr<std::string> text = ReadFile(path, image_file::kMaxHeader);
  if (absl::IsNotFound(text.status())) return std::nullopt;
  absl::StatusOr<image_file::Header> header = text.ok() ? image_file::ParseHeader(*text) : text.status();
  if (header.ok()) return *std::move(header);
  passed_over->push_back(absl::StrCat(path, " is damaged and passed over: ", header.status().message()));
  return std::nullopt;
}

absl::Status UpgradeStore::SaveManifest(const std::string& slot, absl::string_view header) const {
  RETURN_IF_ERROR(MakeDirectories(folder_, 0700));
  return ReplaceFile(absl::StrCat(folder_, "/", slot, ".manifest"), header, 0600);
}

absl::Status UpgradeStore::Remove(const std::string& name) const {
  std::string path = absl::StrCat(folder_, "/", name);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus("remove ", path);
  return absl::OkStatus();
}

}  // namespace stele::machined
