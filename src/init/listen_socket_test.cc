#include "init/listen_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "gtest/gtest.h"

namespace stele::init {
namespace {

TEST(ListenSocket, RefusesWhatIsNoAddress) {
  for (const char* address : {"", "tcp:", "tcp:127.0.0.1", "tcp:127.0.0.1:", "tcp:127.0.0.1:65536", "tcp:1.2.3:80",
                              "tcp:localhost:80", "tcp:[::1:80", "tcp:[::g]:80", "udp:1.2.3.4:5", "unix:", "50000"}) {
    absl::StatusOr<UniqueFd> socket = OpenListenSocket({.address = address});
    EXPECT_TRUE(absl::IsInvalidArgument(socket.status())) << address << ": " << socket.status();
  }
}

TEST(ListenSocket, ListensOnLoopbackOfBothKinds) {
  for (const char* address : {"tcp:127.0.0.1:0", "tcp:[::1]:0"}) {
    absl::StatusOr<UniqueFd> socket = OpenListenSocket({.address = address});
    if (!socket.ok() && address[4] == '[') GTEST_SKIP() << "no IPv6: " << socket.status();
    ASSERT_TRUE(socket.ok()) << socket.status();
    int accepting = 0;
    socklen_t size = sizeof accepting;
    ASSERT_EQ(::getsockopt(socket->get(), SOL_SOCKET, SO_ACCEPTCONN, &accepting, &size), 0);
    EXPECT_EQ(accepting, 1);
  }
}

TEST(ListenSocket, ReplacesAnOldSocketFile) {
  std::string path = "/tmp/stele-listen-" + std::to_string(::getpid());
  for (int round = 0; round < 2; ++round) {
    absl::StatusOr<UniqueFd> socket = OpenListenSocket({.address = "unix:" + path, .mode = 0640});
    ASSERT_TRUE(socket.ok()) << socket.status();
    struct stat info;
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0640u);
  }
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace stele::init
