#include "machined/upgrade/fetch_staging.h"

#include <algorithm>
#include <cstring>

namespace stele::machined {
namespace {

absl::StatusOr<std::string> ReadHeader(RemoteFile& file) {
  absl::StatusOr<absl::string_view> prefix = file.ReadHead(image_file::kPrefixSize);
  if (absl::IsOutOfRange(prefix.status())) {
    return absl::InvalidArgumentError(absl::StrCat("not an image file: ", prefix.status().message()));
  }
  RETURN_IF_ERROR(prefix.status());
  ASSIGN_OR_RETURN(size_t length, image_file::HeaderLength(*prefix));
  absl::StatusOr<absl::string_view> header = file.ReadHead(length);
  if (absl::IsOutOfRange(header.status())) {
    return absl::InvalidArgumentError(absl::StrCat("the image file is cut: ", header.status().message()));
  }
  RETURN_IF_ERROR(header.status());
  return std::string(*header);
}

}  // namespace

absl::Status FetchAndStage(RemoteFile& file, const UpgradePlace& place, const UpgradeStore& store,
                           const image_file::TrustedKeys& keys, StageRequest request, const FetchCallbacks& callbacks) {
  ASSIGN_OR_RETURN(request.header, ReadHeader(file));
  const Staging* running = nullptr;
  bool began = false;
  uint64_t position = 0;
  Staging::Callbacks staging_callbacks;
  staging_callbacks.keep_going = callbacks.keep_going;
  staging_callbacks.begins = [](const char*) {};
  staging_callbacks.progress = [&](const Staging::Progress& progress) {
    // The first word of the writing is from where on bytes are wanted.
    if (strcmp(progress.step, "write") == 0 && !std::exchange(began, true)) position = progress.offset;
    callbacks.progress(*running, progress);
  };
  staging_callbacks.next = [&]() -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(std::string bytes, file.ReadAt(position));
    if (bytes.empty()) {
      return absl::DataLossError(
          absl::StrCat("the file ends after ", position, " bytes; its header says ", running->total()));
    }
    // What a server has behind the image is not the image's.
    bytes.resize(std::min<uint64_t>(bytes.size(), running->total() - position));
    position += bytes.size();
    return bytes;
  };
  Staging staging(place, store, keys, std::move(request), staging_callbacks);
  running = &staging;
  return staging.Run();
}

}  // namespace stele::machined
