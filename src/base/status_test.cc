#include "base/status.h"

#include <fcntl.h>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace stele {
namespace {

absl::StatusOr<UniqueFd> OpenForReading(const char* path) {
  UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", path);
  return fd;
}

absl::Status Use(const char* path) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenForReading(path));
  return fd.ok() ? absl::OkStatus() : absl::InternalError("no fd");
}

TEST(Status, TellsWhatWasDoneToWhatAndWhy) {
  absl::Status status = Annotate(Use("/no/such/file"), "start kubelet");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "start kubelet: open /no/such/file: No such file or directory");
  EXPECT_TRUE(Use("/dev/null").ok());
}

TEST(UniqueFd, MovesOnceAndClosesOnce) {
  UniqueFd a(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  int number = a.get();
  UniqueFd b(std::move(a));
  EXPECT_FALSE(a.ok());
  b = UniqueFd(::open("/dev/zero", O_RDONLY | O_CLOEXEC));  // closes the first
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
  int second = b.get();
  UniqueFd& same = b;
  b = std::move(same);  // self-move keeps it
  EXPECT_EQ(b.get(), second);
  EXPECT_EQ(b.release(), second);
  EXPECT_EQ(::fcntl(second, F_GETFD), FD_CLOEXEC);
  ::close(second);
}

}  // namespace
}  // namespace stele
