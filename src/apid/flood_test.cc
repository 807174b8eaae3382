// Strangers who connect and do nothing, or half of something: a client with a certificate is served
// meanwhile and afterwards, and each stranger is gone within the handshake's deadline.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <filesystem>

#include "apid/node_for_test.h"

namespace stele {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr char kCheck[] = "/grpc.health.v1.Health/Check";

// The first flight of a real TLS client, as bytes.
std::string ClientHello() {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL* ssl = SSL_new(context);
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, in, out);
  SSL_set_connect_state(ssl);
  SSL_do_handshake(ssl);
  char* data = nullptr;
  std::string hello(static_cast<size_t>(BIO_get_mem_data(out, &data)), '\0');
  hello.assign(data, hello.size());
  SSL_free(ssl);
  SSL_CTX_free(context);
  return hello;
}

// Whether the other side has ended the connection (an alert may come first).
bool IsGone(int fd) {
  char buffer[8192];
  for (;;) {
    ssize_t got = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0) continue;
    return got == 0 || errno != EAGAIN;
  }
}

// Calls as fast as it can, each on a connection of its own, and keeps how long each took.
class ValidClient {
 public:
  // `patient`: dials again when a connection fails, as gRPC does for calls that wait for a connection.
  ValidClient(const TestNode& node, const KeyPair& key, bool patient)
      : thread_([this, &node, &key, patient] {
          while (!stop_) {
            auto began = steady_clock::now();
            grpc::Status status = CallOnce(node.Channel(&key), kCheck, {}, seconds(10), patient);
            times_.push_back(std::chrono::duration<double>(steady_clock::now() - began).count());
            if (status.error_code() != grpc::StatusCode::ABORTED) ++failed_;
          }
        }) {}
  void Stop() {
    stop_ = true;
    thread_.join();
    std::sort(times_.begin(), times_.end());
  }
  size_t calls() const { return times_.size(); }
  int failed() const { return failed_; }
  double Percentile(double part) const {
    return times_[static_cast<size_t>(part * static_cast<double>(times_.size() - 1))];
  }

 private:
  std::atomic<bool> stop_{false};
  int failed_ = 0;
  std::vector<double> times_;
  std::thread thread_;
};

struct Flood {
  rlim_t descriptors;
  const char* source;  // the strangers' address; the valid client's is 127.0.0.1
};

class FloodTest : public testing::TestWithParam<Flood> {
 protected:
  static void SetUpTestSuite() {
    rlimit limit = {};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 8192);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    ASSERT_GE(limit.rlim_cur, 4096u) << "this test holds 2,500 connections at once";
  }

  size_t Descriptors() const {
    auto all = std::filesystem::directory_iterator(absl::StrCat("/proc/", node_.pid, "/fd"));
    return static_cast<size_t>(std::distance(begin(all), end(all)));
  }

  TestNode node_{{.descriptors = GetParam().descriptors}};
  EchoMachined machined_{node_.socket_path};
  KeyPair admin_ = node_.Admin();
};

TEST_P(FloodTest, PlainConnectsAndHalfHandshakes) {
  ASSERT_EQ(CallOnce(node_.Channel(&admin_), kCheck).error_code(), grpc::StatusCode::ABORTED);
  size_t descriptors_before = Descriptors();
  std::string hello = ClientHello();
  // Strangers from elsewhere must not cost a valid client one connection. One that shares their address
  // may lose a connection to them, never a call.
  bool same_source = GetParam().source == absl::string_view("127.0.0.1");
  ValidClient client(node_, admin_, same_source);

  auto began = steady_clock::now();
  std::vector<UniqueFd> strangers;
  for (int i = 0; i < 2500; ++i) {
    UniqueFd fd = node_.Connect(GetParam().source);
    ASSERT_TRUE(fd.ok()) << "connection " << i;
    if (i % 5 == 0) {  // 500 of them begin a handshake; some with a part of a hello only
      size_t size = i % 10 == 0 ? hello.size() : hello.size() / 2;
      ASSERT_EQ(::send(fd.get(), hello.data(), size, MSG_NOSIGNAL), static_cast<ssize_t>(size));
    }
    strangers.push_back(std::move(fd));
  }
  EXPECT_LE(Descriptors(), GetParam().descriptors);
  auto flooded = steady_clock::now() - began;
  // All of them hang on for longer than they may.
  std::this_thread::sleep_for(milliseconds(5600));
  size_t left = static_cast<size_t>(
      std::count_if(strangers.begin(), strangers.end(), [](const UniqueFd& fd) { return !IsGone(fd.get()); }));
  client.Stop();
  EXPECT_EQ(left, 0u) << "strangers that were not shown out within 5 s";
  EXPECT_EQ(client.failed(), 0) << "of " << client.calls();
  EXPECT_GT(client.calls(), 20u);
  EXPECT_LT(client.Percentile(0.99), 1.0);
  std::printf(
      "flood of 2,500 in %.1f s; valid client: %zu calls, p50 %.0f ms, p99 %.0f ms, longest %.0f ms; apid %ld kB\n",
      std::chrono::duration<double>(flooded).count(), client.calls(), client.Percentile(0.5) * 1000,
      client.Percentile(0.99) * 1000, client.Percentile(1) * 1000, node_.PrivateKilobytes());

  // Afterwards: served, and nothing was kept.
  ASSERT_EQ(CallOnce(node_.Channel(&admin_), kCheck).error_code(), grpc::StatusCode::ABORTED);
  for (int i = 0; i < 100 && Descriptors() > descriptors_before; ++i) std::this_thread::sleep_for(milliseconds(50));
  EXPECT_LE(Descriptors(), descriptors_before);
  // Freed memory goes back to the kernel a second after the last connection.
  for (int i = 0; i < 100 && node_.PrivateKilobytes() >= 8 * 1024; ++i) std::this_thread::sleep_for(milliseconds(50));
  EXPECT_LT(node_.PrivateKilobytes(), 8 * 1024);
  EXPECT_TRUE(node_.Alive());
}

// faults.md §3: 200 connects that close at once stopped gRPC's own listener for good, with few descriptors.
TEST_P(FloodTest, ConnectsThatCloseAtOnce) {
  for (int i = 0; i < 2000; ++i) {
    UniqueFd fd = node_.Connect();
    ASSERT_TRUE(fd.ok());
  }
  EXPECT_EQ(CallOnce(node_.Channel(&admin_), kCheck).error_code(), grpc::StatusCode::ABORTED);
}

TEST_P(FloodTest, OneByteASecondIsNoHandshake) {
  std::string hello = ClientHello();
  UniqueFd slow = node_.Connect();
  auto began = steady_clock::now();
  for (size_t i = 0; i < 12 && !IsGone(slow.get()); ++i) {
    ::send(slow.get(), &hello[i], 1, MSG_NOSIGNAL);
    std::this_thread::sleep_for(milliseconds(500));
  }
  EXPECT_LT(steady_clock::now() - began, milliseconds(6100));
  EXPECT_TRUE(IsGone(slow.get()));
}

INSTANTIATE_TEST_SUITE_P(Descriptors, FloodTest,
                         testing::Values(Flood{4096, "127.0.0.2"}, Flood{4096, "127.0.0.1"}, Flood{256, "127.0.0.2"},
                                         Flood{64, "127.0.0.2"}),
                         [](const auto& flood) {
                           return absl::StrCat(
                               flood.param.descriptors,
                               flood.param.source == absl::string_view("127.0.0.1") ? "SameSource" : "");
                         });

// --- clients with a certificate that misbehave ---

// A TLS connection with a good certificate, for bytes of the test's own.
class RawClient {
 public:
  RawClient(const TestNode& node, const KeyPair& key)
      : context_(SSL_CTX_new(TLS_client_method())), fd_(node.Connect()) {
    SSL_CTX_use_certificate(context_, key.certificate.get());
    SSL_CTX_use_PrivateKey(context_, key.key.get());
    ssl_ = SSL_new(context_);
    SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>("\x02h2"), 3);
    SSL_set_fd(ssl_, fd_.get());
    connected_ = SSL_connect(ssl_) == 1;
  }
  ~RawClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  bool connected() const { return connected_; }
  int fd() const { return fd_.get(); }
  bool Send(const std::string& bytes) { return SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) > 0; }

 private:
  SSL_CTX* context_;
  UniqueFd fd_;
  SSL* ssl_ = nullptr;
  bool connected_ = false;
};

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  size_t size = payload.size();
  std::string out = {static_cast<char>(size >> 16),   static_cast<char>(size >> 8),   static_cast<char>(size),
                     static_cast<char>(type),         static_cast<char>(flags),       static_cast<char>(stream >> 24),
                     static_cast<char>(stream >> 16), static_cast<char>(stream >> 8), static_cast<char>(stream)};
  return out + payload;
}

std::string Preface() { return std::string(NGHTTP2_CLIENT_MAGIC) + Frame(NGHTTP2_SETTINGS, 0, 0, ""); }

// HPACK of a whole gRPC request, without indexing.
std::string RequestHeaders() {
  std::string block;
  auto add = [&block](const std::string& name, const std::string& value) {
    block += '\0';
    block += static_cast<char>(name.size());
    block += name;
    block += static_cast<char>(value.size());
    block += value;
  };
  add(":method", "POST");
  add(":scheme", "https");
  add(":path", kCheck);
  add(":authority", "node");
  add("content-type", "application/grpc");
  add("te", "trailers");
  return block;
}

class AbuseTest : public testing::Test {
 protected:
  // Sends `bytes` until apid ends the connection or `times` are through; the most private memory seen.
  long SendUntilRefused(RawClient& client, int times, const std::function<std::string(int)>& bytes) {
    long most = 0;
    for (int i = 0; i < times; ++i) {
      if (!client.Send(bytes(i))) break;
      if (i % 16 == 0) most = std::max(most, node_.PrivateKilobytes());
    }
    return std::max(most, node_.PrivateKilobytes());
  }
  void ExpectStillServing() {
    EXPECT_TRUE(node_.Alive());
    EXPECT_EQ(CallOnce(node_.Channel(&admin_), kCheck).error_code(), grpc::StatusCode::ABORTED);
  }

  TestNode node_;
  EchoMachined machined_{node_.socket_path};
  KeyPair admin_ = node_.Admin();
};

TEST_F(AbuseTest, RapidResetIsStoppedAndCostsNoMemory) {
  RawClient client(node_, admin_);
  ASSERT_TRUE(client.connected() && client.Send(Preface()));
  constexpr int kBatch = 100;
  long most = SendUntilRefused(client, 1000, [](int round) {  // 100,000 resets, if it could
    std::string bytes;
    for (int i = 0; i < kBatch; ++i) {
      auto stream = static_cast<uint32_t>(2 * (round * kBatch + i) + 1);
      bytes += Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, RequestHeaders());
      bytes += Frame(NGHTTP2_RST_STREAM, 0, stream, std::string("\0\0\0\x08", 4));
    }
    return bytes;
  });
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_TRUE(IsGone(client.fd()));
  EXPECT_LT(most, 16 * 1024);
  EXPECT_LT(machined_.calls(), 1000) << "resets that reached machined as calls";
  ExpectStillServing();
}

TEST_F(AbuseTest, ContinuationFloodIsStopped) {
  RawClient client(node_, admin_);
  ASSERT_TRUE(client.connected() && client.Send(Preface()));
  ASSERT_TRUE(client.Send(Frame(NGHTTP2_HEADERS, 0, 1, RequestHeaders())));
  std::string padding = std::string("\0\x01x\x7f", 4) + std::string(1, '\x00') + std::string(127, 'y');
  long most = SendUntilRefused(client, 20'000, [&padding](int) { return Frame(NGHTTP2_CONTINUATION, 0, 1, padding); });
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_TRUE(IsGone(client.fd()));
  EXPECT_LT(most, 16 * 1024);
  ExpectStillServing();
}

TEST_F(AbuseTest, PingAndSettingsFloodsAreStopped) {
  for (auto frame : {Frame(NGHTTP2_PING, 0, 0, "12345678"), Frame(NGHTTP2_SETTINGS, 0, 0, "")}) {
    RawClient client(node_, admin_);
    ASSERT_TRUE(client.connected() && client.Send(Preface()));
    std::string batch;
    for (int i = 0; i < 100; ++i) batch += frame;
    long most = SendUntilRefused(client, 2000, [&batch](int) { return batch; });
    std::this_thread::sleep_for(milliseconds(500));
    EXPECT_TRUE(IsGone(client.fd()));
    EXPECT_LT(most, 16 * 1024);
  }
  ExpectStillServing();
}

TEST_F(AbuseTest, MoreStreamsThanAllowedAreRefused) {
  RawClient client(node_, admin_);
  ASSERT_TRUE(client.connected() && client.Send(Preface()));
  std::string bytes;
  for (uint32_t i = 0; i < 100; ++i) {
    bytes += Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 2 * i + 1, RequestHeaders());
  }
  ASSERT_TRUE(client.Send(bytes));
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_LE(machined_.calls(), 32);
  ExpectStillServing();
}

TEST_F(AbuseTest, GarbageInsteadOfHttp2) {
  RawClient client(node_, admin_);
  ASSERT_TRUE(client.connected());
  client.Send("GET / HTTP/1.1\r\nHost: node\r\n\r\n");
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_TRUE(IsGone(client.fd()));
  ExpectStillServing();
}

TEST_F(AbuseTest, ACertificateAloneDoesNotKeepAConnection) {
  RawClient client(node_, admin_);
  ASSERT_TRUE(client.connected());
  std::this_thread::sleep_for(milliseconds(5500));
  EXPECT_TRUE(IsGone(client.fd())) << "no SETTINGS within the handshake's deadline";
  ExpectStillServing();
}

}  // namespace
}  // namespace stele
