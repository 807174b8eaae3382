// What the node knows of upgrades beyond what the ESP says: files in a folder of the state partition.
//
//   current        the upgrade under way or the last one (UpgradeRecord)
//   fetch          an image that the node was told to fetch (FetchRecord)
//   failed         the last 16 images that failed (FailedImages)
//   a.manifest     the header of the image in slot a, as the image file has it; likewise b.manifest
//
// Each is replaced whole, so a power cut leaves the old one or the new one. One that is torn or somebody
// else's is passed over: the ESP decides what boots, and without a record less is known, no more.
// Blocks; any thread, one at a time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/status.h"
#include "image_file/header.h"
#include "stele/image/v1/upgrade_record.pb.h"

namespace stele::machined {

using image::v1::FailedImage;
using image::v1::UpgradeRecord;

class UpgradeStore {
 public:
  static constexpr int kKeptFailures = 16;

  explicit UpgradeStore(std::string folder) : folder_(std::move(folder)) {}

  // The record; state NONE without one. `passed_over` gets a line for what is there and is none.
  UpgradeRecord Load(std::vector<std::string>* passed_over) const;
  absl::Status Save(const UpgradeRecord& record) const;

  // What is to be fetched; nothing without it.
  std::optional<image::v1::FetchRecord> LoadFetch(std::vector<std::string>* passed_over) const;
  absl::Status SaveFetch(const image::v1::FetchRecord& record) const;
  absl::Status RemoveFetch() const { return Remove("fetch"); }

  // Oldest first.
  std::vector<FailedImage> Failures(std::vector<std::string>* passed_over) const;
  // Adds it, or takes its place where that image failed before.
  absl::Status AddFailure(const FailedImage& failure) const;
  // It was forced, and is good now.
  absl::Status ForgetFailure(const std::string& root_hash) const;

  // The image in a slot (a or b); nothing where none is known.
  std::optional<image_file::Header> Manifest(const std::string& slot, std::vector<std::string>* passed_over) const;
  absl::Status SaveManifest(const std::string& slot, absl::string_view header) const;
  absl::Status RemoveManifest(const std::string& slot) const { return Remove(slot + ".manifest"); }

 private:
  absl::Status Remove(const std::string& name) const;
  absl::Status SaveFailures(const std::vector<FailedImage>& failures) const;
  template <typename Message>
  std::optional<Message> LoadMessage(const char* name, std::vector<std::string>* passed_over) const;
  absl::Status SaveMessage(const char* name, const google::protobuf::MessageLite& message) const;

  std::string folder_;
};

// `text` with its end cut off beyond `limit` bytes; valid UTF-8, since protobuf wants that of strings.
std::string Bounded(absl::string_view text, size_t limit);
void SetTime(absl::Time time, google::protobuf::Timestamp& out);
absl::Time TimeOf(const google::protobuf::Timestamp& timestamp);

}  // namespace stele::machined
