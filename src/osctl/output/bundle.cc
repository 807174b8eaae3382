#include "osctl/output/bundle.h"

#include "base/tar_header.h"

namespace stele::osctl {
namespace {

constexpr int kGzip = 15 + 16;  // zlib's largest window, with gzip's header
constexpr int kMemory = 8;      // zlib's default

}  // namespace

Bundle::~Bundle() {
  if (open_) deflateEnd(&zip_);
}

absl::Status Bundle::Open() {
  RETURN_IF_ERROR(file_.Open());
  if (deflateInit2(&zip_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, kMemory, Z_DEFAULT_STRATEGY) != Z_OK)
    return absl::ResourceExhaustedError("no memory to compress");
  open_ = true;
  return absl::OkStatus();
}

absl::Status Bundle::Add(const std::string& name, absl::string_view bytes) {
  struct stat info = {};
  info.st_mode = S_IFREG | 0600;
  info.st_mtime = absl::ToTimeT(time_);
  std::lock_guard<std::mutex> lock(mutex_);
  // What is behind half an entry could not be read.
  if (added_.ok()) added_ = Put(TarHeader(name, info, bytes.size(), ""), bytes);
  return added_;
}

absl::Status Bundle::Put(const std::string& header, absl::string_view bytes) {
  RETURN_IF_ERROR(Deflate(header, Z_NO_FLUSH));
  RETURN_IF_ERROR(Deflate(bytes, Z_NO_FLUSH));
  return Deflate(std::string(TarPadding(bytes.size()), '\0'), Z_NO_FLUSH);
}

absl::StatusOr<uint64_t> Bundle::Finish() {
  std::lock_guard<std::mutex> lock(mutex_);
  RETURN_IF_ERROR(added_);
  RETURN_IF_ERROR(Deflate(TarEnd(), Z_FINISH));
  RETURN_IF_ERROR(file_.Finish());
  return zip_.total_out;
}

absl::Status Bundle::Deflate(absl::string_view bytes, int flush) {
  // zlib's own type for what it only reads.
  zip_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
  zip_.avail_in = static_cast<uInt>(bytes.size());
  char out[64 * 1024];
  do {
    zip_.next_out = reinterpret_cast<Bytef*>(out);
    zip_.avail_out = sizeof out;
    if (deflate(&zip_, flush) == Z_STREAM_ERROR) return absl::InternalError("compress: zlib's state is damaged");
    RETURN_IF_ERROR(file_.Write(absl::string_view(out, sizeof out - zip_.avail_out)));
  } while (zip_.avail_out == 0);
  return absl::OkStatus();
}

}  // namespace stele::osctl
