#include "machined/upgrade/remote_file.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "machined/upgrade/http_stream.h"

namespace stele::machined {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Brings the file's bytes in pieces until `breaks_at`, and says then what a test wants.
class FakeStream : public ByteStream {
 public:
  FakeStream(absl::string_view rest, size_t ends_after, absl::Status end)
      : rest_(rest.substr(0, ends_after)), end_(std::move(end)) {}
  absl::StatusOr<std::string> Read(absl::Duration) override {
    absl::string_view piece = rest_.substr(0, 7);
    rest_.remove_prefix(piece.size());
    if (piece.empty() && !end_.ok()) return end_;
    return std::string(piece);
  }

 private:
  absl::string_view rest_;
  absl::Status end_;
};

class RemoteFileTest : public testing::Test {
 protected:
  RemoteFile Make(RemoteFile::Patience patience) {
    return RemoteFile({.open = [this](uint64_t offset) -> absl::StatusOr<std::unique_ptr<ByteStream>> {
                         opened_.push_back(offset);
                         if (!refuses_.ok()) return refuses_;
                         return std::make_unique<FakeStream>(absl::string_view(file_).substr(offset), each_, end_);
                       },
                       .keep_going = [this] { return goes_on_ ? absl::OkStatus() : absl::CancelledError("stopped"); },
                       .tell = [this](const std::string& message) { told_.push_back(message); },
                       .sleep =
                           [this](absl::Duration time) {
                             slept_ += time;
                             if (stops_after_ <= slept_) goes_on_ = false;
                           }},
                      patience);
  }
  absl::StatusOr<std::string> ReadAll(RemoteFile& remote) {
    std::string all;
    while (true) {
      absl::StatusOr<std::string> bytes = remote.ReadAt(all.size());
      if (!bytes.ok()) return bytes.status();
      if (bytes->empty()) return all;
      all += *bytes;
    }
  }

  std::string file_ = "the quick brown fox jumps over the lazy dog";
  size_t each_ = SIZE_MAX;
  absl::Status end_;
  absl::Status refuses_;
  bool goes_on_ = true;
  std::vector<uint64_t> opened_;
  std::vector<std::string> told_;
  absl::Duration slept_;
  absl::Duration stops_after_ = absl::InfiniteDuration();
};

TEST_F(RemoteFileTest, GoesOnWhereItBroke) {
  each_ = 20;
  end_ = absl::UnavailableError("it broke");
  RemoteFile remote = Make({.tries = 3, .fruitful = 10});
  // Twice it brought enough to begin counting anew; then not.
  absl::StatusOr<std::string> all = ReadAll(remote);
  EXPECT_EQ(all.status().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(opened_, ElementsAre(0, 20, 40, 43));
  EXPECT_THAT(told_, testing::Contains("it broke, at byte 20; try 2 of 3 in 1s"));
  EXPECT_THAT(told_, testing::Contains(""));  // bytes came again
}

TEST_F(RemoteFileTest, PausesGrowAndEnd) {
  refuses_ = absl::UnavailableError("nobody is there");
  RemoteFile remote = Make({.tries = 6, .longest_pause = absl::Seconds(5)});
  absl::Status status = remote.ReadAt(0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("nobody is there, at byte 0; given up after 6 tries in a row"));
  EXPECT_NEAR(absl::ToDoubleSeconds(slept_), 1 + 2 + 4 + 5 + 5, 0.01);
  EXPECT_EQ(opened_.size(), 6u);
}

TEST_F(RemoteFileTest, WhatIsForGoodIsNotTriedAgain) {
  refuses_ = absl::NotFoundError("404");
  RemoteFile remote = Make({});
  EXPECT_EQ(remote.ReadAt(0).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(opened_.size(), 1u);
}

TEST_F(RemoteFileTest, AnEndWithoutAWordIsTriedOnce) {
  each_ = 30;  // "the file" ends there, and a second look finds more
  RemoteFile remote = Make({});
  absl::StatusOr<std::string> all = ReadAll(remote);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(*all, file_);
  EXPECT_THAT(opened_, ElementsAre(0, 30, 43));
}

TEST_F(RemoteFileTest, StopsWhileItWaits) {
  refuses_ = absl::UnavailableError("nobody is there");
  stops_after_ = absl::Milliseconds(1500);
  RemoteFile remote = Make({});
  EXPECT_EQ(remote.ReadAt(0).status().code(), absl::StatusCode::kCancelled);
  EXPECT_LT(slept_, absl::Seconds(2));
}

TEST_F(RemoteFileTest, TheHeadStays) {
  RemoteFile remote = Make({});
  EXPECT_EQ(*remote.ReadHead(10), "the quick ");
  EXPECT_EQ(*remote.ReadAt(4), "quick brow");  // what came with it
  EXPECT_EQ(*remote.ReadAt(14), "n fox j");    // the same connection
  EXPECT_EQ(*remote.ReadAt(35), "lazy do");    // a new one
  EXPECT_THAT(opened_, ElementsAre(0, 35));
  EXPECT_EQ(remote.ReadHead(100).status().code(), absl::StatusCode::kOutOfRange);
}

TEST(HttpStream, Urls) {
  for (const char* good :
       {"http://host", "https://host:8443/a/b.img?token=x#y", "http://[::1]:80/x", "http://10.0.2.2/"}) {
    EXPECT_TRUE(CheckUrl(good).ok()) << good;
  }
  for (const char* bad : {"", "host/x", "HTTP://host", "ftp://host/x", "https://", "http://?x", "http://a:b@host/",
                          "http://h/ä", "http://h/a b", "http://h/\n"}) {
    EXPECT_EQ(CheckUrl(bad).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_EQ(ShownUrl("https://host/a.img?token=secret"), "https://host/a.img");
  EXPECT_EQ(ShownUrl("https://host/a.img#part"), "https://host/a.img");
}

TEST(HttpStream, WhatTheEndOfWgetMeans) {
  using C = absl::StatusCode;
  struct Case {
    ChildProcess::End end;
    C code;
    const char* text;
  };
  const std::vector<Case> cases = {
      {{.exit_code = 0, .errors = "URL:http://h/ [1/1]"}, C::kOk, ""},
      {{.exit_code = 4}, C::kUnavailable, "the connection broke"},
      {{.exit_code = 4, .errors = "failed: Connection refused.\n"}, C::kUnavailable, "failed: Connection refused"},
      {{.exit_code = 5, .errors = "ERROR: The certificate of 'h' is not trusted.\n"},
       C::kPermissionDenied,
       "not trusted"},
      {{.exit_code = 5, .errors = "ERROR: The certificate of 'h' is not yet activated\n"},
       C::kFailedPrecondition,
       "this node's clock says 2"},
      {{.exit_code = 8, .errors = "http://h/s?token=secret:\n2026-01-01 00:00:00 ERROR 404: Not Found.\n"},
       C::kNotFound,
       "the server answers 404: Not Found"},
      {{.exit_code = 8, .errors = "http://h/:\n2026-01-01 00:00:00 ERROR 503: Busy.\n"}, C::kUnavailable, "503: Busy"},
      {{.exit_code = 8, .errors = "5 redirections exceeded.\n"}, C::kFailedPrecondition, "5 redirections exceeded"},
      {{.exit_code = 70, .errors = "fetch: become user 903: not permitted\n"}, C::kInternal, "user 903"},
      {{.signal = 9}, C::kUnavailable, "signal 9"},
  };
  for (const Case& one : cases) {
    absl::Status meaning = MeaningOf(one.end);
    EXPECT_EQ(meaning.code(), one.code) << meaning;
    EXPECT_THAT(std::string(meaning.message()), HasSubstr(one.text));
    EXPECT_THAT(std::string(meaning.message()), testing::Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace stele::machined
