// An upload as a client makes it: over gRPC, to the controller of a node's disk of files.
#include "machined/upgrade/stage_call.h"

#include <atomic>
#include <thread>

#include "machined/upgrade/controller_fixture.h"

namespace stele::machined {
namespace {

using machine::v1::StageImageRequest;
using machine::v1::StageImageResponse;
using resource::v1::UPGRADE_STATE_NONE;
using resource::v1::UPGRADE_STATE_STAGED;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr size_t kPiece = 64 * 1024;

class StageCallTest : public UpgradeNode {
 protected:
  using Stream = grpc::ClientReaderWriter<StageImageRequest, StageImageResponse>;

  struct Service final : machine::v1::UpgradeService::CallbackService {
    explicit Service(StageCallTest& fixture) : test(fixture) {}
    grpc::ServerBidiReactor<StageImageRequest, StageImageResponse>* StageImage(
        grpc::CallbackServerContext* context) override {
      return new StageCall(*test.loop_, *test.upgrades_, context, test.patience_);
    }
    StageCallTest& test;
  };

  void SetUp() override {
    Start();
    RunUntil(UPGRADE_STATE_NONE);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + folder_ + "/socket", grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    stub_ = machine::v1::UpgradeService::NewStub(
        grpc::CreateChannel("unix:" + folder_ + "/socket", grpc::InsecureChannelCredentials()));
  }
  void TearDown() override { server_->Shutdown(std::chrono::system_clock::now()); }

  // Runs `client` beside the loop, and answers how the call ended.
  grpc::Status Call(const std::function<void(Stream&, grpc::ClientContext&)>& client) {
    grpc::Status status;
    std::atomic<bool> over = false;
    std::thread thread([&] {
      grpc::ClientContext context;
      std::unique_ptr<Stream> stream = stub_->StageImage(&context);
      client(*stream, context);
      status = stream->Finish();
      over = true;
    });
    RunUntil([&] { return over.load(); });
    thread.join();
    RunUntil([this] { return upgrades_->Ready().ok(); });  // the next one may come
    return status;
  }
  StageImageRequest Begin() const {
    StageImageRequest begin;
    begin.mutable_begin()->set_header(image_.HeaderBytes());
    return begin;
  }
  static StageImageRequest Chunk(absl::string_view bytes) {
    StageImageRequest chunk;
    chunk.set_chunk(std::string(bytes));
    return chunk;
  }
  // Begins, waits until the node says where to go on, and sends [from there, `end`) of the file.
  uint64_t Send(Stream& stream, size_t end = SIZE_MAX) const {
    stream.Write(Begin());
    StageImageResponse response;
    while (stream.Read(&response) && response.step() != "write") continue;
    const std::string file = image_.FileBytes();
    for (size_t at = response.offset(); at < std::min(end, file.size()); at += kPiece) {
      if (!stream.Write(Chunk(file.substr(at, std::min(kPiece, std::min(end, file.size()) - at))))) break;
    }
    return response.offset();
  }

  StagePatience patience_;
  Service service_{*this};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<machine::v1::UpgradeService::Stub> stub_;
};

TEST_F(StageCallTest, AnImageIsStaged) {
  StageImageResponse last;
  grpc::Status status = Call([&](Stream& stream, grpc::ClientContext&) {
    Send(stream);
    stream.WritesDone();
    while (stream.Read(&last)) continue;
  });
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(last.step(), "staged");
  EXPECT_EQ(last.offset(), image_.FileBytes().size());
  EXPECT_EQ(last.slot(), "b");
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-2.new"));
  EXPECT_EQ(store_->Find<resource::v1::Slot>("b")->message(), "");
}

// Requests that are none end the call, and the next one is served.
TEST_F(StageCallTest, WhatIsNoUploadIsSaid) {
  struct Case {
    std::function<void(Stream&)> client;
    const char* says;
  };
  for (const Case& c : std::vector<Case>{
           {[](Stream& stream) { stream.WritesDone(); }, "the first request is `begin`"},
           {[](Stream& stream) { stream.Write(Chunk("bytes")); }, "the first request is `begin`"},
           {[](Stream& stream) { stream.Write(StageImageRequest()); }, "the first request is `begin`"},
           {[this](Stream& stream) {
              Send(stream, 0);
              stream.Write(Begin());
            },
            "`begin` may only come first"},
           {[this](Stream& stream) {
              Send(stream, 0);
              while (stream.Write(StageImageRequest())) continue;
            },
            "without bytes"},
           {[this](Stream& stream) {
              Send(stream, 0);
              stream.Write(Chunk(std::string(256 * 1024 + 1, 'x')));
            },
            "at most 256 KiB"},
       }) {
    grpc::Status status = Call([&](Stream& stream, grpc::ClientContext&) { c.client(stream); });
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << c.says;
    EXPECT_THAT(status.error_message(), HasSubstr(c.says));
    // One that got so far that the node took it up is told by the slot, too.
    bool taken_up = status.error_message().find("the first request") == std::string::npos;
    RunUntil([&] {
      const std::string& told = store_->Find<resource::v1::Slot>("b")->message();
      return !taken_up || told.find(c.says) != std::string::npos;
    });
    EXPECT_THAT(node_->Bootable(), ElementsAre("stele-1.efi"));
  }
}

TEST_F(StageCallTest, AClientThatSaysNothingIsGivenUp) {
  patience_.idle = absl::Milliseconds(200);
  grpc::Status status = Call([this](Stream& stream, grpc::ClientContext&) {
    Send(stream, 2 * kPiece);
    StageImageResponse response;
    while (stream.Read(&response)) continue;  // until the node ends it
  });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("no byte of the image arrived for 200ms"));
}

TEST_F(StageCallTest, AByteNowAndThenIsTooFew) {
  patience_.window = absl::Milliseconds(300);
  grpc::Status status = Call([this](Stream& stream, grpc::ClientContext&) {
    Send(stream, 0);
    for (char byte : image_.FileBytes().substr(0, 1000)) {
      absl::SleepFor(absl::Milliseconds(10));
      if (!stream.Write(Chunk(absl::string_view(&byte, 1)))) break;
    }
  });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("16 KiB a second"));
}

// What arrived of it is kept, and the same client goes on there.
TEST_F(StageCallTest, AClientThatGoesAwayMayComeBack) {
  for (bool half_closed : {true, false}) {
    grpc::Status status = Call([&](Stream& stream, grpc::ClientContext& context) {
      Send(stream, image_.FileBytes().size() / 2);
      if (half_closed) stream.WritesDone();
      if (!half_closed) context.TryCancel();
    });
    EXPECT_EQ(status.error_code(), half_closed ? grpc::StatusCode::ABORTED : grpc::StatusCode::CANCELLED);
    EXPECT_THAT(node_->Bootable(), ElementsAre("stele-1.efi"));
  }
  uint64_t began_at = 0;
  grpc::Status status = Call([&](Stream& stream, grpc::ClientContext&) {
    began_at = Send(stream);
    stream.WritesDone();
    StageImageResponse response;
    while (stream.Read(&response)) continue;
  });
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_GT(began_at, image_.HeaderBytes().size());
}

}  // namespace
}  // namespace stele::machined
