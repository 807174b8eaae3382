// What a user reads when a connection does not come about, and how followers bear it.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>

#include <thread>

#include "osctl/fake_node.h"

namespace stele::osctl {
namespace {

using testing::HasSubstr;

class ConnectionTest : public FakeNodeTest {
 protected:
  // A client certificate of the store's client CA, used by the context from now on.
  void UseClient(const std::vector<std::string>& flags) {
    std::vector<std::string> words = {"gen", "client", "--name", "admin", "-o", keys()};
    words.insert(words.end(), flags.begin(), flags.end());
    ASSERT_EQ(Osctl(words).code, 0);
  }
  void ReplaceServer(const LeafRequest& request) {
    auto leaf = MakeLeaf(*store().Load(kServerAuthority), request);
    ASSERT_TRUE(leaf.ok()) << leaf.status();
    node_.reset();
    node_ = std::make_unique<FakeNode>(*leaf, *store().LoadCertificate(kClientAuthority));
    Point(node_->port());
  }
  LeafRequest ServerRequest() {
    LeafRequest request;
    request.common_name = "demo";
    request.usage = Usage::kServer;
    request.san = {"127.0.0.1"};
    request.validity = ValidNow();
    return request;
  }
};

// A listener that never answers.
class SilentListener {
 public:
  SilentListener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_.get(), 16), 0);
    socklen_t size = sizeof address;
    ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  int port() const { return port_; }
  void AcceptAndReset() {
    pollfd poll_fd = {fd_.get(), POLLIN, 0};
    if (::poll(&poll_fd, 1, 50) <= 0) return;
    UniqueFd connection(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    linger hard = {1, 0};
    ::setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  }

 private:
  UniqueFd fd_;
  int port_ = 0;
};

TEST_F(ConnectionTest, Refused) {
  int port = node_->port();
  node_.reset();
  Outcome run = Osctl({"version"});
  EXPECT_EQ(run.code, 3);
  EXPECT_EQ(run.err, absl::StrCat("osctl: 127.0.0.1:", port, ": version: connect to 127.0.0.1:", port,
                                  ": Connection refused; the machine is up, but its API is not: wait, or check the "
                                  "port\n"));
}

TEST_F(ConnectionTest, Silence) {
  SilentListener listener;
  Point(listener.port());
  absl::Time began = absl::Now();
  Outcome run = Osctl({"version", "--timeout", "1s"});
  EXPECT_EQ(run.code, 3);
  EXPECT_LT(absl::Now() - began, absl::Seconds(5));
  EXPECT_THAT(run.err, HasSubstr("the node does not answer the TLS handshake; "));
  EXPECT_EQ(Osctl({"logs", "kubelet", "-f", "--timeout", "1s"}).code, 3);
}

TEST_F(ConnectionTest, UnknownName) {
  Outcome run = Osctl({"-n", "nosuch.invalid", "version"});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err, HasSubstr("osctl: nosuch.invalid: version: look up nosuch.invalid: "));
}

TEST_F(ConnectionTest, NamesAreLookedUp) {
  Outcome run = Osctl({"-n", absl::StrCat("localhost:", node_->port()), "version"});
  EXPECT_EQ(run.code, 0) << run.err;
}

TEST_F(ConnectionTest, ServerOfAnotherCa) {
  auto ca = MakeAuthority("another CA", ValidNow());
  auto leaf = MakeLeaf(*ca, ServerRequest());
  node_ = std::make_unique<FakeNode>(*leaf, *store().LoadCertificate(kClientAuthority));
  Point(node_->port());
  for (const std::vector<std::string>& words : {std::vector<std::string>{"version"}, {"logs", "kubelet", "-f"}}) {
    Outcome run = Osctl(words);
    EXPECT_EQ(run.code, 4);
    EXPECT_THAT(run.err, HasSubstr("the node's certificate was not signed by the context's ca"));
  }
}

TEST_F(ConnectionTest, ServerCertificateExpired) {
  LeafRequest request = ServerRequest();
  request.validity = {absl::Now() - absl::Hours(2), absl::Now() - absl::Hours(1)};
  ReplaceServer(request);
  Outcome run = Osctl({"version"});
  EXPECT_EQ(run.code, 4);
  EXPECT_THAT(run.err, HasSubstr("the node's certificate has expired"));
}

TEST_F(ConnectionTest, ServerOfAnotherName) {
  LeafRequest request = ServerRequest();
  request.san = {"node-7", "192.0.2.7"};
  ReplaceServer(request);
  Outcome run = Osctl({"version"});
  EXPECT_EQ(run.code, 4);
  EXPECT_THAT(run.err, HasSubstr("the node's certificate is for node-7, 192.0.2.7, not for 127.0.0.1; dial one of"));
  EXPECT_EQ(Osctl({"version", "--server-name", "node-7"}).code, 0);
  EXPECT_EQ(Osctl({"version", "--server-name", "node-8"}).code, 4);
}

TEST_F(ConnectionTest, OurCertificateExpired) {
  UseClient({"--not-after", "1d"});
  Outcome run = Osctl({"version"});
  EXPECT_EQ(run.code, 4);
  EXPECT_THAT(run.err, HasSubstr("our certificate expired at 20"));
  EXPECT_THAT(run.err, HasSubstr("; make a new one with `osctl gen client`\n"));
}

TEST_F(ConnectionTest, OurCertificateOfAnotherCa) {
  auto ca = MakeAuthority("another CA", ValidNow());
  LeafRequest request;
  request.common_name = "mallory";
  request.organization = "admin";
  request.validity = ValidNow();
  ASSERT_TRUE(store().Save("admin", *MakeLeaf(*ca, request)).ok());
  Outcome run = Osctl({"version"});
  EXPECT_EQ(run.code, 4) << run.err;
  EXPECT_THAT(run.err, HasSubstr("certificate"));
}

TEST_F(ConnectionTest, OurCertificateForServers) {
  UseClient({"--usage", "server"});
  Outcome run = Osctl({"version"});
  EXPECT_EQ(run.code, 4) << run.err;
}

TEST_F(ConnectionTest, KeyOfAnotherCertificate) {
  ASSERT_EQ(Osctl({"gen", "client", "--role", "reader", "-o", keys()}).code, 0);
  ASSERT_EQ(::rename((keys() + "/reader.key").c_str(), (keys() + "/admin.key").c_str()), 0);
  Outcome run = Osctl({"version"});
  EXPECT_EQ(run.code, 8) << run.err;
  EXPECT_THAT(run.err, HasSubstr("the context's key: the private key does not belong to the certificate; mend the"));
}

TEST_F(ConnectionTest, BrokenPem) {
  ASSERT_TRUE(ReplaceFile(keys() + "/server-ca.crt", "nonsense").ok());
  Outcome run = Osctl({"version"});
  EXPECT_EQ(run.code, 8) << run.err;
  EXPECT_THAT(run.err, HasSubstr("the context's ca: "));
}

// Writes to a socket that is closed already must not end the program.
TEST_F(ConnectionTest, ClosedAtOnce) {
  SilentListener listener;
  Point(listener.port());
  std::atomic<bool> done = false;
  std::thread closer([&] {
    while (!done) listener.AcceptAndReset();
  });
  for (int i = 0; i < 20; ++i) {
    Outcome run = Osctl({"version", "--timeout", "2s"});
    EXPECT_EQ(run.code, 3) << run.err;
  }
  done = true;
  closer.join();
}

// The API of another node of the same PKI takes over the port: as a restarted apid does.
TEST_F(ConnectionTest, FollowersOutliveTheDaemon) {
  FakeState& first = node_->state();
  // Enough for hundreds of broken calls: the first node never comes to the log's end.
  for (int i = 0; i < 40'000; ++i) absl::StrAppend(&first.log, "line ", i, "\n");
  std::string whole = first.log;
  for (int i = 40'000; i < 40'400; ++i) absl::StrAppend(&whole, "line ", i, "\n");
  first.break_log_after = 2000;
  int port = node_->port();
  std::thread killer([&] {
    while (true) {
      {
        std::lock_guard<std::mutex> lock(first.mutex);
        if (first.broken_logs > 0) break;
      }
      absl::SleepFor(absl::Milliseconds(1));
    }
    node_.reset();
    absl::SleepFor(absl::Milliseconds(4500));
    node_ = std::make_unique<FakeNode>(*store().Load("demo"), *store().LoadCertificate(kClientAuthority), port);
    std::lock_guard<std::mutex> lock(node_->state().mutex);
    node_->state().log = whole;
  });
  Outcome run = Osctl({"logs", "kubelet", "-f", "--timeout", "30s"});
  killer.join();
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, whole);
  EXPECT_THAT(run.err, HasSubstr("connection lost, trying again for 30s: "));
  EXPECT_THAT(run.err, HasSubstr("connected again after "));
}

TEST_F(ConnectionTest, FollowersGiveUp) {
  FakeState& state = node_->state();
  for (int i = 0; i < 40'000; ++i) absl::StrAppend(&state.log, "line ", i, "\n");
  state.break_log_after = 1000;
  std::thread killer([&] {
    while (true) {
      {
        std::lock_guard<std::mutex> lock(state.mutex);
        if (state.broken_logs > 0) break;
      }
      absl::SleepFor(absl::Milliseconds(1));
    }
    node_.reset();
  });
  Outcome run = Osctl({"logs", "kubelet", "-f", "--timeout", "1s"});
  killer.join();
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err, HasSubstr("gave up after "));
}

}  // namespace
}  // namespace stele::osctl
