// Calls of every shape through apid, between gRPC's own client and server: what goes in at one end comes
// out at the other, and what ends at one end ends at the other.
#include <gtest/gtest.h>

#include <numeric>

#include "apid/node_for_test.h"
#include "stele/machine/v1/image_service.grpc.pb.h"
#include "stele/machine/v1/log_service.grpc.pb.h"
#include "stele/machine/v1/service_service.grpc.pb.h"
#include "stele/machine/v1/system_service.grpc.pb.h"

namespace stele {
namespace {

namespace v1 = stele::machine::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr uint32_t kChunk = 64 * 1024;

// A machined of the test's: enough of the API to see every shape of call.
class FakeMachined : v1::SystemService::Service,
                     v1::LogService::Service,
                     v1::ImageService::Service,
                     v1::ServiceService::Service {
 public:
  explicit FakeMachined(const std::string& socket_path) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_path, grpc::InsecureServerCredentials());
    builder.RegisterService(static_cast<v1::SystemService::Service*>(this));
    builder.RegisterService(static_cast<v1::LogService::Service*>(this));
    builder.RegisterService(static_cast<v1::ImageService::Service*>(this));
    builder.RegisterService(static_cast<v1::ServiceService::Service*>(this));
    server_ = builder.BuildAndStart();
  }
  ~FakeMachined() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::atomic<int> started{0}, cancelled{0}, restarts{0};
  std::atomic<uint64_t> written{0};

 private:
  grpc::Status Version(grpc::ServerContext* context, const v1::VersionRequest*, v1::VersionResponse* out) override {
    out->set_stele("1.2.3");
    auto left = context->deadline() - std::chrono::system_clock::now();
    out->set_hostname(absl::StrCat(std::chrono::duration_cast<milliseconds>(left).count()));
    context->AddInitialMetadata("initial", "early");
    context->AddTrailingMetadata("trailing", "late");
    return grpc::Status::OK;
  }

  // Ends with a status whose text and details are not plain ASCII.
  grpc::Status Reboot(grpc::ServerContext* context, const v1::RebootRequest*, v1::RebootResponse*) override {
    context->AddTrailingMetadata("blob-bin", std::string("\0\xff\x01", 3));
    return {grpc::StatusCode::FAILED_PRECONDITION, "größer als 100 %\nzwei", std::string("\x08\x09\0", 3)};
  }

  // service = how many chunks; follow = then wait for the end.
  grpc::Status ReadLog(grpc::ServerContext* context, const v1::ReadLogRequest* request,
                       grpc::ServerWriter<v1::ReadLogResponse>* writer) override {
    ++started;
    v1::ReadLogResponse chunk;
    for (int i = 0; i < std::atoi(request->service().c_str()); ++i) {
      chunk.set_data(std::string(kChunk, static_cast<char>('a' + i % 26)));
      chunk.set_cursor(absl::StrCat(i));
      if (!writer->Write(chunk)) {
        ++cancelled;
        return grpc::Status::CANCELLED;
      }
      written += kChunk;
    }
    while (request->follow() && !context->IsCancelled()) std::this_thread::sleep_for(milliseconds(5));
    if (context->IsCancelled()) ++cancelled;
    return {grpc::StatusCode::OUT_OF_RANGE, "that was all"};
  }

  grpc::Status ImportImage(grpc::ServerContext*, grpc::ServerReader<v1::ImportImageRequest>* reader,
                           v1::ImportImageResponse* out) override {
    v1::ImportImageRequest chunk;
    uint64_t bytes = 0, sum = 0;
    while (reader->Read(&chunk)) {
      if (chunk.chunk() == "stop") return {grpc::StatusCode::RESOURCE_EXHAUSTED, "enough"};
      bytes += chunk.chunk().size();
      sum = std::accumulate(chunk.chunk().begin(), chunk.chunk().end(), sum);
      if (chunk.chunk().size() == 1) std::this_thread::sleep_for(milliseconds(300));  // a slow reader
    }
    out->set_bytes(bytes);
    out->add_names(absl::StrCat(sum));
    return grpc::Status::OK;
  }

  grpc::Status RestartService(grpc::ServerContext*, const v1::RestartServiceRequest*,
                              v1::RestartServiceResponse*) override {
    ++restarts;
    return grpc::Status::OK;
  }

  std::unique_ptr<grpc::Server> server_;
};

class ForwardingTest : public testing::Test {
 protected:
  static void SetDeadline(grpc::ClientContext& context, milliseconds timeout = seconds(10)) {
    context.set_deadline(std::chrono::system_clock::now() + timeout);
  }
  grpc::Status Version(milliseconds timeout = seconds(10)) {
    grpc::ClientContext context;
    SetDeadline(context, timeout);
    v1::VersionResponse answer;
    return v1::SystemService::NewStub(channel_)->Version(&context, {}, &answer);
  }
  // True once `condition` holds, within some seconds.
  template <typename Condition>
  static bool Soon(Condition condition) {
    for (int i = 0; i < 500; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }

  TestNode node_;
  std::unique_ptr<FakeMachined> machined_ = std::make_unique<FakeMachined>(node_.socket_path);
  KeyPair admin_ = node_.Admin();
  std::shared_ptr<grpc::Channel> channel_ = node_.Channel(&admin_);
};

TEST_F(ForwardingTest, UnaryWithMetadataAndDeadline) {
  grpc::ClientContext context;
  SetDeadline(context, seconds(7));
  v1::VersionResponse answer;
  grpc::Status status = v1::SystemService::NewStub(channel_)->Version(&context, {}, &answer);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(answer.stele(), "1.2.3");
  int left_ms = std::atoi(answer.hostname().c_str());
  EXPECT_GT(left_ms, 5000);
  EXPECT_LE(left_ms, 7000);
  EXPECT_EQ(context.GetServerInitialMetadata().count("initial"), 1u);
  EXPECT_EQ(context.GetServerTrailingMetadata().count("trailing"), 1u);
}

TEST_F(ForwardingTest, StatusTextAndDetailsAreUnchanged) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::RebootResponse answer;
  grpc::Status status = v1::SystemService::NewStub(channel_)->Reboot(&context, {}, &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(), "größer als 100 %\nzwei");
  EXPECT_EQ(status.error_details(), std::string("\x08\x09\0", 3));
  auto blob = context.GetServerTrailingMetadata().find("blob-bin");
  ASSERT_NE(blob, context.GetServerTrailingMetadata().end());
  EXPECT_EQ(blob->second, grpc::string_ref("\0\xff\x01", 3));
}

TEST_F(ForwardingTest, AThousandUnaryCallsOfSixteenThreads) {
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([this, &good] {
      for (int i = 0; i < 64; ++i) good += Version().ok();
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 16 * 64);
}

TEST_F(ForwardingTest, ServerStreamArrivesWholeAndInOrder) {
  constexpr int kChunks = 1000;
  grpc::ClientContext context;
  SetDeadline(context, seconds(30));
  v1::ReadLogRequest request;
  request.set_service(absl::StrCat(kChunks));
  auto reader = v1::LogService::NewStub(channel_)->ReadLog(&context, request);
  v1::ReadLogResponse chunk;
  int count = 0;
  while (reader->Read(&chunk)) {
    ASSERT_EQ(chunk.cursor(), absl::StrCat(count));
    ASSERT_EQ(chunk.data(), std::string(kChunk, static_cast<char>('a' + count % 26)));
    ++count;
  }
  grpc::Status status = reader->Finish();
  EXPECT_EQ(count, kChunks);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(status.error_message(), "that was all");
}

TEST_F(ForwardingTest, ClientStreamArrivesWhole) {
  grpc::ClientContext context;
  SetDeadline(context, seconds(30));
  v1::ImportImageResponse answer;
  auto writer = v1::ImageService::NewStub(channel_)->ImportImage(&context, &answer);
  v1::ImportImageRequest chunk;
  constexpr int kChunks = 200;
  chunk.set_chunk(std::string(256 * 1024, '\x01'));
  for (int i = 0; i < kChunks; ++i) ASSERT_TRUE(writer->Write(chunk));
  writer->WritesDone();
  grpc::Status status = writer->Finish();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(answer.bytes(), 256ull * 1024 * kChunks);
  EXPECT_EQ(answer.names(0), absl::StrCat(256ull * 1024 * kChunks));
}

TEST_F(ForwardingTest, AnAnswerBeforeTheUploadIsWholeEndsIt) {
  grpc::ClientContext context;
  SetDeadline(context, seconds(10));
  v1::ImportImageResponse answer;
  auto writer = v1::ImageService::NewStub(channel_)->ImportImage(&context, &answer);
  v1::ImportImageRequest chunk;
  chunk.set_chunk("stop");
  ASSERT_TRUE(writer->Write(chunk));
  chunk.set_chunk(std::string(256 * 1024, 'x'));
  for (int i = 0; i < 1000 && writer->Write(chunk); ++i) {
  }
  grpc::Status status = writer->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_EQ(status.error_message(), "enough");
  EXPECT_TRUE(Version().ok());
}

TEST_F(ForwardingTest, CancellationReachesMachined) {
  grpc::ClientContext context;
  v1::ReadLogRequest request;
  request.set_service("1");
  request.set_follow(true);
  auto reader = v1::LogService::NewStub(channel_)->ReadLog(&context, request);
  v1::ReadLogResponse chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Soon([this] { return machined_->cancelled == 1; }));
  EXPECT_TRUE(node_.LogShows("ReadLog\" decision=allow result=CANCELLED"));
}

TEST_F(ForwardingTest, AClientThatVanishesCancelsItsCalls) {
  {
    auto channel = node_.Channel(&admin_);
    grpc::ClientContext context;
    v1::ReadLogRequest request;
    request.set_service("1");
    request.set_follow(true);
    auto reader = v1::LogService::NewStub(channel)->ReadLog(&context, request);
    v1::ReadLogResponse chunk;
    ASSERT_TRUE(reader->Read(&chunk));
    context.TryCancel();
    reader->Finish().ok();
  }
  EXPECT_TRUE(Soon([this] { return machined_->cancelled == 1; }));
}

TEST_F(ForwardingTest, DeadlineEndsTheCallAtBothEnds) {
  grpc::ClientContext context;
  SetDeadline(context, milliseconds(300));
  v1::ReadLogRequest request;
  request.set_service("1");
  request.set_follow(true);
  auto reader = v1::LogService::NewStub(channel_)->ReadLog(&context, request);
  v1::ReadLogResponse chunk;
  while (reader->Read(&chunk)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Soon([this] { return machined_->cancelled == 1; }));
}

TEST_F(ForwardingTest, ASlowReaderStopsTheWriterAndNobodyElse) {
  grpc::ClientContext context;
  v1::ReadLogRequest request;
  request.set_service("100000");  // 6.5 GB
  auto reader = v1::LogService::NewStub(channel_)->ReadLog(&context, request);
  v1::ReadLogResponse chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  // Until the writer stands still: that it does is what bounds apid.
  uint64_t before = 0;
  EXPECT_TRUE(Soon([&] {
    std::this_thread::sleep_for(milliseconds(200));
    return std::exchange(before, machined_->written.load()) == machined_->written.load();
  }));
  EXPECT_LT(machined_->written, 64ull << 20);
  EXPECT_LT(node_.PrivateKilobytes(), 16 * 1024);
  EXPECT_TRUE(Version().ok()) << "on the same connection";
  context.TryCancel();
  while (reader->Read(&chunk)) {
  }
  reader->Finish().ok();
}

TEST_F(ForwardingTest, ASlowUploadTargetStopsTheClient) {
  grpc::ClientContext context;
  SetDeadline(context, seconds(20));
  v1::ImportImageResponse answer;
  auto writer = v1::ImageService::NewStub(channel_)->ImportImage(&context, &answer);
  v1::ImportImageRequest chunk;
  uint64_t bytes = 0;
  for (int i = 0; i < 3; ++i) {
    chunk.set_chunk("x");
    ASSERT_TRUE(writer->Write(chunk));
    chunk.set_chunk(std::string(256 * 1024, 'x'));
    for (int j = 0; j < 20; ++j) ASSERT_TRUE(writer->Write(chunk));
    bytes += 1 + 20 * 256 * 1024;
    EXPECT_LT(node_.PrivateKilobytes(), 16 * 1024);
  }
  writer->WritesDone();
  EXPECT_TRUE(writer->Finish().ok());
  EXPECT_EQ(answer.bytes(), bytes);
}

TEST_F(ForwardingTest, TooLargeAMessageIsRefused) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ImportImageResponse answer;
  auto writer = v1::ImageService::NewStub(channel_)->ImportImage(&context, &answer);
  v1::ImportImageRequest chunk;
  chunk.set_chunk(std::string((1 << 20) + 1, 'x'));
  writer->Write(chunk);
  writer->WritesDone();
  grpc::Status status = writer->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_TRUE(absl::StrContains(status.error_message(), "1048576")) << status.error_message();
  EXPECT_TRUE(Version().ok());
}

TEST_F(ForwardingTest, TooMuchMetadataIsRefused) {
  for (size_t size : {5000, 12000, 60000}) {
    grpc::ClientContext context;
    SetDeadline(context);
    context.AddMetadata("big", std::string(size, 'x'));
    v1::VersionResponse answer;
    grpc::Status status = v1::SystemService::NewStub(channel_)->Version(&context, {}, &answer);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << size << ": " << status.error_message();
  }
  EXPECT_TRUE(Version().ok());
}

TEST_F(ForwardingTest, CompressedRequestsAreRefused) {
  grpc::ClientContext context;
  SetDeadline(context);
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  v1::RestartServiceRequest request;
  request.set_name(std::string(100'000, 'x'));
  v1::RestartServiceResponse answer;
  grpc::Status status = v1::ServiceService::NewStub(channel_)->RestartService(&context, request, &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << status.error_message();
  EXPECT_EQ(machined_->restarts, 0);
}

TEST_F(ForwardingTest, MachinedDownIsSaidWithinTwoSeconds) {
  ASSERT_TRUE(Version().ok());
  machined_.reset();
  auto began = steady_clock::now();
  grpc::Status status = Version();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(absl::StrContains(status.error_message(), "machined")) << status.error_message();
  EXPECT_LT(steady_clock::now() - began, seconds(4));
}

TEST_F(ForwardingTest, ACallWaitsForMachinedToComeBack) {
  ASSERT_TRUE(Version().ok());
  machined_.reset();
  std::thread back([this] {
    std::this_thread::sleep_for(milliseconds(800));
    machined_ = std::make_unique<FakeMachined>(node_.socket_path);
  });
  grpc::Status status = Version();
  back.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

// A socket that somebody keeps for machined takes connections while machined is down. What was sent then
// must not be carried out later: the client was told that it failed.
TEST_F(ForwardingTest, ARequestThatFailedIsNotCarriedOutLater) {
  machined_.reset();
  UniqueFd kept(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  node_.socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  ::unlink(node_.socket_path.c_str());
  ASSERT_EQ(::bind(kept.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(kept.get(), 16), 0);
  auto channel = node_.Channel(&admin_);
  grpc::ClientContext context;
  SetDeadline(context);
  v1::RestartServiceResponse answer;
  grpc::Status status = v1::ServiceService::NewStub(channel)->RestartService(&context, {}, &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  std::string sent;
  for (;;) {
    UniqueFd connection(::accept4(kept.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    char buffer[4096];
    ssize_t got = ::read(connection.get(), buffer, sizeof buffer);
    if (got > 0) sent.append(buffer, static_cast<size_t>(got));
    ::fcntl(kept.get(), F_SETFL, O_NONBLOCK);
    pollfd more = {kept.get(), POLLIN, 0};
    if (::poll(&more, 1, 0) == 0) break;
  }
  EXPECT_TRUE(absl::StrContains(sent, "PRI * HTTP/2.0"));
  EXPECT_FALSE(absl::StrContains(sent, "RestartService"));
  EXPECT_LT(sent.size(), 200u) << "the preface and SETTINGS only";
}

TEST_F(ForwardingTest, MachinedKilledInAStreamIsSaid) {
  grpc::ClientContext context;
  v1::ReadLogRequest request;
  request.set_service("3");
  request.set_follow(true);
  auto reader = v1::LogService::NewStub(channel_)->ReadLog(&context, request);
  v1::ReadLogResponse chunk;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(reader->Read(&chunk));
  std::thread end([this] { machined_.reset(); });
  while (reader->Read(&chunk)) {
  }
  grpc::Status status = reader->Finish();
  end.join();
  EXPECT_FALSE(status.ok());
  machined_ = std::make_unique<FakeMachined>(node_.socket_path);
  EXPECT_TRUE(Version().ok());
}

TEST_F(ForwardingTest, TermLetsRunningCallsEnd) {
  grpc::ClientContext context;
  v1::ReadLogRequest request;
  request.set_service("10");
  request.set_follow(true);
  auto reader = v1::LogService::NewStub(channel_)->ReadLog(&context, request);
  v1::ReadLogResponse chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  auto began = steady_clock::now();
  int status = node_.Stop();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_GT(steady_clock::now() - began, milliseconds(1500));  // it waited for the follower
  EXPECT_LT(steady_clock::now() - began, seconds(4));
  while (reader->Read(&chunk)) {
  }
  EXPECT_FALSE(reader->Finish().ok());
  // The listening socket is init's; a new apid takes what waited in it.
  node_.Start();
  EXPECT_TRUE(Version().ok());
}

TEST_F(ForwardingTest, EveryCallIsInTheAudit) {
  ASSERT_TRUE(Version().ok());
  KeyPair reader = node_.Client({.common_name = "Eve \"x\"\n", .organizations = {"reader"}});
  auto channel = node_.Channel(&reader);
  EXPECT_FALSE(CallOnce(channel, "/stele.machine.v1.SystemService/Shutdown").ok());
  EXPECT_TRUE(node_.LogShows("subject=\"someone\" role=admin serial="));
  EXPECT_TRUE(node_.LogShows("method=\"/stele.machine.v1.SystemService/Version\" decision=allow result=OK"));
  EXPECT_TRUE(node_.LogShows("subject=\"Eve ?x??\" role=reader"));
  EXPECT_TRUE(
      node_.LogShows("method=\"/stele.machine.v1.SystemService/Shutdown\" decision=deny result=PERMISSION_DENIED"));
}

TEST_F(ForwardingTest, NothingButTls13WithH2) {
  for (auto [version, alpn, works] : {std::tuple{TLS1_2_VERSION, "\x02h2", false},
                                      {TLS1_3_VERSION, "\x02h2", true},
                                      {TLS1_3_VERSION, "\x08http/1.1", false},
                                      {TLS1_3_VERSION, "", false}}) {
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(context, version);
    SSL_CTX_use_certificate(context, admin_.certificate.get());
    SSL_CTX_use_PrivateKey(context, admin_.key.get());
    SSL* ssl = SSL_new(context);
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(alpn), static_cast<unsigned>(std::strlen(alpn)));
    UniqueFd fd = node_.Connect();
    SSL_set_fd(ssl, fd.get());
    char byte = 0;
    // In 1.3 the client is done before the server has judged: what counts is whether SETTINGS come.
    bool served = SSL_connect(ssl) == 1 && SSL_read(ssl, &byte, 1) == 1;
    EXPECT_EQ(served, works) << version << " " << alpn + (*alpn != 0);
    SSL_free(ssl);
    SSL_CTX_free(context);
  }
}

}  // namespace
}  // namespace stele
