#include "machined/log_sinks/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stele::machined {
namespace {

using testing::ElementsAre;

const RecordOrigin kOrigin = {"node-1", "b00t", "kubelet"};
const absl::Time kTime = absl::FromUnixMicros(1'700'000'000'123'456);

TEST(LogRecord, Json) {
  EXPECT_THAT(
      MakeRecords(RecordFormat::kJson, kOrigin, kTime, "a \"quoted\" \\ \t \x01 line"),
      ElementsAre("{\"time\":\"2023-11-14T22:13:20.123456000Z\",\"host\":\"node-1\",\"boot\":\"b00t\",\"source\":"
                  "\"kubelet\",\"message\":\"a \\\"quoted\\\" \\\\ \\t \\u0001 line\"}\n"));
  EXPECT_THAT(
      MakeRecords(RecordFormat::kJson, kOrigin, absl::InfinitePast(), ""),
      ElementsAre("{\"time\":null,\"host\":\"node-1\",\"boot\":\"b00t\",\"source\":\"kubelet\",\"message\":\"\"}\n"));
}

TEST(LogRecord, Syslog) {
  std::string message = "<30>1 2023-11-14T22:13:20.123456Z node-1 kubelet - - - two words";
  EXPECT_THAT(MakeRecords(RecordFormat::kSyslogDatagram, kOrigin, kTime, "two\x1bwords"), ElementsAre(message));
  EXPECT_THAT(MakeRecords(RecordFormat::kSyslogStream, kOrigin, kTime, "two\nwords"),
              ElementsAre(std::to_string(message.size()) + " " + message));
  EXPECT_THAT(MakeRecords(RecordFormat::kSyslogDatagram, {"", "b", "kernel"}, absl::InfinitePast(), "x"),
              ElementsAre("<6>1 - - kernel - - - x"));
  EXPECT_THAT(MakeRecords(RecordFormat::kSyslogDatagram, {"a b\n", "b", "kernel"}, absl::InfinitePast(), "x"),
              ElementsAre("<6>1 - a?b? kernel - - - x"));
}

TEST(LogRecord, WhatIsNotUtf8IsReplaced) {
  const std::pair<std::string, std::string> cases[] = {
      {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
      {"\xff", "\xef\xbf\xbd"},
      {"\xc3", "\xef\xbf\xbd"},
      {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                  // longer than need be
      {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},  // a surrogate
      {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
  };
  for (const auto& [bytes, text] : cases) {
    std::string record = MakeRecords(RecordFormat::kSyslogDatagram, kOrigin, absl::InfinitePast(), bytes)[0];
    EXPECT_EQ(record, "<30>1 - node-1 kubelet - - - " + text);
  }
}

TEST(LogRecord, ALongLineIsSeveral) {
  for (RecordFormat format : {RecordFormat::kJson, RecordFormat::kSyslogStream, RecordFormat::kSyslogDatagram}) {
    size_t most = MaxMessage(format);
    EXPECT_EQ(MakeRecords(format, kOrigin, kTime, std::string(most, 'a')).size(), 1u);
    EXPECT_EQ(MakeRecords(format, kOrigin, kTime, std::string(most + 1, 'a')).size(), 2u);
    // No character is torn.
    std::string text(most - 1, 'a');
    text += "\xc3\xbc";
    EXPECT_EQ(MakeRecords(format, kOrigin, kTime, text)[1].find("\xef\xbf\xbd"), std::string::npos);
  }
}

}  // namespace
}  // namespace stele::machined
