#include "osctl/output/new_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "osctl/failure.h"

namespace stele::osctl {
namespace {

absl::Status Local(absl::Status status) { return status.ok() ? status : WithExit(std::move(status), ExitCode::kLocal); }

}  // namespace

NewFile::~NewFile() {
  if (fd_.ok()) ::unlink(Part().c_str());
}

absl::Status NewFile::Open() {
  fd_.reset(::open(Part().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  return fd_.ok() ? absl::OkStatus() : Local(ErrnoStatus("make ", Part()));
}

absl::Status NewFile::Write(absl::string_view bytes) {
  return Local(Annotate(WriteAll(fd_.get(), bytes), absl::StrCat("write ", Part())));
}

absl::Status NewFile::Finish() {
  if (::fsync(fd_.get()) != 0) return Local(ErrnoStatus("write ", Part()));
  if (::rename(Part().c_str(), path_.c_str()) != 0) return Local(ErrnoStatus("name ", path_));
  fd_.reset();
  return absl::OkStatus();
}

}  // namespace stele::osctl
