#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machined/providers/disk_health.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/pressure.h"
#include "machined/providers/provider.h"
#include "machined/providers/socket_table.h"
#include "machined/store.h"
#include "stele/machine/v1/options.pb.h"
#include "stele/resource/v1/kernel.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Providers, EachIsAKnownTypeAndGivesItsOwnMessages) {
  int providers = 0;
  for (const google::protobuf::Descriptor* message : ResourceMessages()) {
    const Provider* provider = FindProvider(ResourceTypeOf(message));
    if (provider == nullptr) continue;
    ++providers;
    absl::StatusOr<Provided> all = provider->read();
    ASSERT_TRUE(all.ok()) << provider->type << ": " << all.status();
    for (const auto& [id, body] : *all) {
      ASSERT_NE(body, nullptr) << provider->type << " " << id;
      EXPECT_EQ(body->GetDescriptor(), message) << provider->type << " " << id;
      EXPECT_FALSE(id.empty());
    }
  }
  EXPECT_EQ(providers, 23);
}

TEST(Providers, WhatEveryMachineHas) {
  for (const char* type : {"kernel", "memory", "cpus", "processes", "mounts", "sysctls", "linkcounters"}) {
    EXPECT_FALSE(FindProvider(type)->read()->empty()) << type;
  }
  Provided processes = *ReadProcesses();
  const auto& self = static_cast<const resource::v1::Process&>(*processes.at(absl::StrCat(::getpid())));
  EXPECT_GT(self.open_files(), 2u);
  EXPECT_GT(self.resident_bytes(), 1u << 20);
}

TEST(KernelFiles, WhatIsMissingIsEmpty) {
  EXPECT_EQ(TextOf("/nonexistent"), "");
  EXPECT_EQ(NumberOf("/nonexistent", 7), 7u);
  EXPECT_THAT(NamesIn("/nonexistent"), ElementsAre());
  EXPECT_EQ(LinkName("/proc/self/nonexistent"), "");
  EXPECT_EQ(Printable("a\x01\xff\nb"), "a??\nb");
}

TEST(KernelFiles, AKeyIsAWholeWord) {
  const char text[] = "MemTotal:  10 kB\nSwapCached: 3 kB\nCached: 4 kB\noom 1\noom_kill 2\nhex 0x1f\nmax max\n";
  EXPECT_EQ(Keyed(text, "Cached"), 4u);
  EXPECT_EQ(Keyed(text, "MemTotal"), 10u);
  EXPECT_EQ(Keyed(text, "oom_kill"), 2u);
  EXPECT_EQ(Keyed(text, "oom"), 1u);
  EXPECT_EQ(Keyed(text, "hex"), 31u);
  EXPECT_EQ(Keyed(text, "max", 9), 9u);
  EXPECT_EQ(Keyed(text, "Mem", 9), 9u);
}

TEST(Pressure, BothLines) {
  resource::v1::Pressure pressure = ParsePressure(
      "some avg10=1.50 avg60=2.25 avg300=0.10 total=2500000\nfull avg10=0.50 avg60=0.00 avg300=0.01 total=1000\n");
  EXPECT_EQ(pressure.some_10s(), 1.5);
  EXPECT_EQ(pressure.some_60s(), 2.25);
  EXPECT_EQ(pressure.full_300s(), 0.01);
  EXPECT_EQ(pressure.some_total().seconds(), 2);
  EXPECT_EQ(pressure.some_total().nanos(), 500'000'000);
  EXPECT_EQ(pressure.full_total().nanos(), 1'000'000);
  EXPECT_EQ(ParsePressure("").ByteSizeLong(), 0u);
  EXPECT_EQ(ParsePressure("some\nfull avg10\nother avg10=1\n").ByteSizeLong(), 0u);
}

TEST(SocketTable, Lines) {
  struct Case {
    const char* protocol;
    const char* line;
    const char* local;
    const char* remote;
    const char* state;
    uint64_t inode;
  };
  const std::vector<Case> cases = {
      {"tcp",
       "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4321 1 ffff 100 0 0 "
       "10 0",
       "127.0.0.1:8080", "*:*", "listen", 4321},
      {"tcp6",
       "1: 0000000000000000FFFF00000100007F:C350 0000000000000000FFFF00000100007F:8B42 01 00000010:00000002 "
       "01:00000014 00000000 0 0 "
       "51072 2 ffff 20 4 30 10 -1",
       "[::ffff:127.0.0.1]:50000", "[::ffff:127.0.0.1]:35650", "established", 51072},
      {"tcp", "2: 0100007F:1F90 0100007F:0016 06 00000000:00000000 03:00001770 00000000     0        0 0 3 ffff",
       "127.0.0.1:8080", "127.0.0.1:22", "time-wait", 0},
      {"udp", "3: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 22 2 ffff 0",
       "*:53", "*:*", "open", 22},
  };
  for (const Case& one : cases) {
    absl::StatusOr<SocketLine> socket = ParseSocketLine(one.line, one.protocol);
    ASSERT_TRUE(socket.ok()) << socket.status();
    EXPECT_EQ(socket->body.local(), one.local);
    EXPECT_EQ(socket->body.remote(), one.remote);
    EXPECT_EQ(socket->body.state(), one.state);
    EXPECT_EQ(socket->inode, one.inode);
  }
  EXPECT_EQ(ParseSocketLine(cases[1].line, "tcp6")->body.send_queue(), 16u);
  EXPECT_EQ(ParseSocketLine(cases[1].line, "tcp6")->body.receive_queue(), 2u);
  EXPECT_EQ(ParseSocketLine(cases[0].line, "tcp")->body.uid(), 1000u);
}

TEST(SocketTable, WhatIsNoLineIsRefused) {
  for (const char* line :
       {"", "sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode",
        "0: 0100007F 00000000:0000 0A 0:0 0:0 0 0 0 1", "0: 0100007G:1F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
        "0: 0100007F:1F90 00000000:0000 zz 0:0 0:0 0 0 0 1", "0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 x 0 1",
        "0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 -1"}) {
    EXPECT_EQ(ParseSocketLine(line, "tcp").status().code(), absl::StatusCode::kInvalidArgument) << line;
  }
}

std::string WithNumber(std::string bytes, size_t at, size_t size, uint64_t number) {
  for (size_t i = 0; i < size; ++i) bytes[at + i] = static_cast<char>(number >> (8 * i));
  return bytes;
}

TEST(DiskHealth, NvmesLog) {
  std::string log(512, '\0');
  log = WithNumber(log, 0, 1, 0x05);
  log = WithNumber(log, 1, 2, 273 + 41);
  log = WithNumber(log, 3, 1, 97);
  log = WithNumber(log, 5, 1, 103);
  log = WithNumber(log, 48, 8, 2'000'000);
  log = WithNumber(log, 112, 8, 12);
  log = WithNumber(log, 128, 8, 9'000);
  log = WithNumber(log, 144, 8, 3);
  log = WithNumber(log, 160, 8, 1);
  absl::StatusOr<resource::v1::DiskHealth> health = ParseNvmeLog(log);
  ASSERT_TRUE(health.ok());
  EXPECT_FALSE(health->healthy());
  EXPECT_THAT(health->warnings(), ElementsAre("spare low", "reliability"));
  EXPECT_EQ(health->temperature(), 41);
  EXPECT_EQ(health->spare_percent(), 97u);
  EXPECT_EQ(health->used_percent(), 103u);
  EXPECT_EQ(health->written_bytes(), 1'024'000'000'000u);
  EXPECT_EQ(health->power_cycles(), 12u);
  EXPECT_EQ(health->power_on_hours(), 9'000u);
  EXPECT_EQ(health->unsafe_shutdowns(), 3u);
  EXPECT_EQ(health->media_errors(), 1u);
  EXPECT_FALSE(ParseNvmeLog(log.substr(1)).ok());
}

TEST(DiskHealth, AtasAttributes) {
  std::string data(512, '\0');
  const std::pair<uint8_t, uint64_t> attributes[] = {
      {5, 8}, {9, 0x0102'0000'2328}, {12, 40}, {194, 0x002d'0014'0023}, {197, 2}, {1, 99}};
  size_t at = 2;
  for (const auto& [id, raw] : attributes) {
    data = WithNumber(WithNumber(data, at, 1, id), at + 5, 6, raw);
    at += 12;
  }
  EXPECT_THAT(std::string(ParseAtaSmart(data).status().message()), HasSubstr("checksum"));
  uint8_t sum = 0;
  for (char c : data) sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(c));
  data[511] = static_cast<char>(-sum);
  absl::StatusOr<resource::v1::DiskHealth> health = ParseAtaSmart(data);
  ASSERT_TRUE(health.ok()) << health.status();
  EXPECT_EQ(health->reallocated_sectors(), 8u);
  EXPECT_EQ(health->power_on_hours(), 9'000u);
  EXPECT_EQ(health->power_cycles(), 40u);
  EXPECT_EQ(health->temperature(), 35);
  EXPECT_EQ(health->pending_sectors(), 2u);
}

}  // namespace
}  // namespace stele::machined
