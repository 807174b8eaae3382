// The parts of a screen that are pure: pictures, keys, what top and dashboard make of what a node said.
#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "osctl/screen/dashboard_view.h"
#include "osctl/screen/frame.h"
#include "osctl/screen/keys.h"
#include "osctl/screen/terminal.h"
#include "osctl/screen/top_view.h"
#include "osctl/screen/watched.h"

namespace stele::osctl {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(Frame, WordsAreCutAndFilled) {
  EXPECT_EQ(Fitted("abc", 5), "abc  ");
  EXPECT_EQ(Fitted("abc", 5, Align::kRight), "  abc");
  EXPECT_EQ(Fitted("abcdef", 3), "abc");
  EXPECT_EQ(Fitted("äöü…", 3), "äöü");
  EXPECT_EQ(Fitted("a\x1b[2Jb\n", 9), "a?[2Jb?  ");  // nobody but us moves the cursor
  EXPECT_EQ(Fitted("a", 0), "");
}

TEST(Frame, RowsFillTheScreenExactly) {
  for (size_t width : {1, 2, 7, 80}) {
    for (size_t height : {1, 2, 5}) {
      Frame frame(width, height);
      for (int i = 0; i < 7; ++i) frame.Add({{"left", Style::kBold}, {"the right", Style::kBad}});
      frame.AddLast({{"keys", Style::kReverse}});
      std::vector<std::string> rows = frame.Rows(Colours::kNo);
      ASSERT_EQ(rows.size(), height);
      for (absl::string_view row : absl::StrSplit(frame.Text(), '\n', absl::SkipEmpty())) EXPECT_LE(row.size(), width);
    }
  }
  Frame frame(8, 3);
  frame.Add({{"ab", Style::kBad}, {"c", Style::kPlain}});
  frame.AddLast({{"k", Style::kReverse}});
  EXPECT_THAT(frame.Rows(Colours::kYes),
              ElementsAre("\x1b[1;31mab\x1b[0mc     ", "        ", "\x1b[7mk       \x1b[0m"));
  EXPECT_EQ(frame.Text(), "abc\n\nk\n");
}

TEST(Frame, WithoutColoursNoColours) {
  Frame frame(20, 4);
  for (Style style : {Style::kGood, Style::kWarning, Style::kBad}) frame.Add({{"x", style}});
  EXPECT_THAT(frame.Rows(Colours::kNo), Each(Not(HasSubstr("\x1b[3"))));
  EXPECT_THAT(frame.Rows(Colours::kNo), Each(Not(HasSubstr(";3"))));
  auto colours = [](const char* value) { return ColoursOf([value](const char*) { return value; }); };
  EXPECT_EQ(colours(nullptr), Colours::kYes);
  EXPECT_EQ(colours(""), Colours::kYes);
  EXPECT_EQ(colours("1"), Colours::kNo);
}

TEST(Keys, OneByOne) {
  struct Case {
    const char* bytes;
    Key key;
    size_t taken;
  };
  for (const Case& c : {Case{"q", Key::kCharacter, 1}, Case{"\t", Key::kTab, 1}, Case{"\r", Key::kEnter, 1},
                        Case{"\x1b[A", Key::kUp, 3}, Case{"\x1bOB", Key::kDown, 3}, Case{"\x1b[6~q", Key::kPageDown, 4},
                        Case{"\x1b[1;5Cq", Key::kNone, 6}, Case{"\x1b[24~", Key::kNone, 5}, Case{"", Key::kNone, 0},
                        Case{"\x1b", Key::kNone, 0}, Case{"\x1b[", Key::kNone, 0}, Case{"\x1b[5", Key::kNone, 0}}) {
    size_t taken = 99;
    EXPECT_EQ(DecodeKey(c.bytes, false, &taken).key, c.key) << c.bytes + 1;
    EXPECT_EQ(taken, c.taken) << c.bytes + 1;
  }
  size_t taken = 0;
  EXPECT_EQ(DecodeKey("\x1b", true, &taken).key, Key::kEscape);
  EXPECT_EQ(taken, 1u);
}

// What a watch tells.
template <typename T>
void Put(const std::string& id, const T& body, absl::Time time, Watched<T>* watched) {
  stele::machine::v1::WatchResponse response;
  response.mutable_updated()->set_id(id);
  response.mutable_updated()->mutable_body()->PackFrom(body);
  watched->Apply(response, time);
}

template <typename T>
void Sync(Watched<T>* watched, absl::Time time) {
  stele::machine::v1::WatchResponse response;
  response.set_synced(true);
  watched->Apply(response, time);
}

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

TEST(Watched, ReadingsAreToldApartByPauses) {
  Watched<stele::resource::v1::Memory> watched;
  stele::resource::v1::Memory memory;
  auto put = [&](const std::string& id, uint64_t bytes, absl::Duration after) {
    memory.set_free_bytes(bytes);
    Put(id, memory, kStart + after, &watched);
  };
  auto ms = [](int n) { return absl::Milliseconds(n); };
  watched.Begin();
  put("a", 1, ms(0));
  put("b", 1, ms(1));
  Sync(&watched, kStart + ms(2));
  EXPECT_EQ(watched.Between(kStart + ms(3)), absl::ZeroDuration()) << "one reading measures nothing";
  put("a", 2, ms(2000));
  put("b", 2, ms(2300));  // late, of the same one
  EXPECT_EQ(watched.Between(kStart + ms(2400)), ms(2000));
  EXPECT_EQ(watched.before().at("b").free_bytes(), 1u);
  put("a", 3, ms(4000));
  EXPECT_EQ(watched.before().at("b").free_bytes(), 2u);
  EXPECT_EQ(watched.Between(kStart + ms(4000)), ms(2000));
  EXPECT_EQ(watched.Between(kStart + ms(11000)), absl::ZeroDuration()) << "nothing moves any more";
  // Anew: what did not come again is gone, and nothing is measured across the gap.
  watched.Begin();
  EXPECT_EQ(watched.Get("b").free_bytes(), 2u);
  put("a", 9, ms(12000));
  Sync(&watched, kStart + ms(12001));
  EXPECT_EQ(watched.now().size(), 1u);
  EXPECT_EQ(watched.Get("b").free_bytes(), 0u);
  EXPECT_EQ(watched.Between(kStart + ms(12002)), absl::ZeroDuration());
  stele::machine::v1::WatchResponse gone;
  gone.mutable_removed()->set_id("a");
  watched.Apply(gone, kStart + ms(14000));
  EXPECT_TRUE(watched.now().empty());
}

TEST(Health, SaysSinceWhenAndWhy) {
  Health health;
  EXPECT_EQ(health.Trouble(absl::InfinitePast(), kStart), "");
  EXPECT_EQ(health.Trouble(kStart, kStart + absl::Seconds(2)), "");
  EXPECT_EQ(health.Trouble(kStart, kStart + absl::Seconds(7)), "no answer for 7s: the node is silent; waiting");
  health.Tell("cpus", absl::UnavailableError("refused"), kStart);
  health.Tell("links", absl::UnavailableError("refused"), kStart + absl::Seconds(3));
  EXPECT_EQ(health.Trouble(kStart, kStart + absl::Seconds(9)), "no answer for 9s: refused; trying again");
  health.Tell("cpus", absl::OkStatus(), kStart);
  EXPECT_NE(health.Trouble(kStart, kStart), "");
  health.Tell("links", absl::OkStatus(), kStart);
  EXPECT_EQ(health.Trouble(kStart, kStart), "");
  // What is refused does not hide what is worse.
  health.Tell("addresses", absl::PermissionDeniedError("role x may not"), kStart);
  EXPECT_EQ(health.Trouble(kStart, kStart), "without addresses: role x may not");
  health.Tell("cpus", absl::UnavailableError("refused"), kStart + absl::Seconds(60));
  EXPECT_EQ(health.Trouble(kStart, kStart + absl::Seconds(61)), "no answer for 1s: refused; trying again");
}

// Two readings 10 s apart, of two processors.
class TopTest : public testing::Test {
 protected:
  void SetUp() override {
    node_.name = "n1";
    PutProcess("7", "/usr/bin/kubelet", 100, 50 << 20);
    PutProcess("12", "apid", 5, 9 << 20);
    PutProcess("2", "[kthreadd]", 1, 0);
    Sync(&node_.processes, now_);
    PutCpu("cpu0", 100, 0);
    PutCpu("cpu1", 100, 0);
    Sync(&node_.cpus, now_);
    stele::resource::v1::Memory memory;
    memory.set_total_bytes(4ULL << 30);
    memory.set_available_bytes(1ULL << 30);
    Put("node", memory, now_, &node_.memory);
    stele::resource::v1::Kernel kernel;
    kernel.set_load("0.10 0.20 0.30");
    kernel.mutable_uptime()->set_seconds(3'700);
    Put("running", kernel, now_, &node_.kernel);
  }

  void PassTenSeconds() {
    now_ += absl::Seconds(10);
    PutProcess("7", "/usr/bin/kubelet", 105, 50 << 20);
    PutProcess("12", "apid", 3, 9 << 20);  // the pid is another one's
    PutCpu("cpu0", 105, 5);
    PutCpu("cpu1", 110, 0);
  }

  void PutProcess(const std::string& pid, const std::string& command, int cpu, uint64_t pss) {
    stele::resource::v1::Process process;
    process.set_command(command);
    process.mutable_cpu()->set_seconds(cpu);
    process.set_proportional_bytes(pss);
    process.set_resident_bytes(2 * pss);
    process.set_state("S");
    process.set_cgroup("/system");
    Put(pid, process, now_, &node_.processes);
  }
  void PutCpu(const std::string& name, int idle, int user) {
    stele::resource::v1::Cpu cpu;
    cpu.mutable_idle()->set_seconds(idle);
    cpu.mutable_user()->set_seconds(user);
    Put(name, cpu, now_, &node_.cpus);
  }

  std::string Drawn(size_t width, size_t height, absl::Duration later = absl::ZeroDuration()) {
    Frame frame(width, height);
    DrawTop(node_, now_ + later, &look_, &frame);
    return frame.Text();
  }

  absl::Time now_ = kStart;
  TopNode node_;
  TopLook look_;
};

TEST_F(TopTest, ProcessorBetweenTwoReadings) {
  EXPECT_EQ(TopRows(node_, now_, TopOrder::kCpu)[0].cpu, 0);
  EXPECT_LT(BusyPercent(node_.cpus), 0);
  PassTenSeconds();
  auto rows = TopRows(node_, now_, TopOrder::kCpu);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].pid, 7);
  EXPECT_DOUBLE_EQ(rows[0].cpu, 50);
  EXPECT_EQ(rows[1].pid, 12);
  EXPECT_DOUBLE_EQ(rows[1].cpu, 30);
  EXPECT_DOUBLE_EQ(BusyPercent(node_.cpus), 25);
}

TEST_F(TopTest, Orders) {
  auto pids = [&](TopOrder order) {
    std::vector<int> found;
    for (const TopRow& row : TopRows(node_, now_, order)) found.push_back(row.pid);
    return found;
  };
  EXPECT_THAT(pids(TopOrder::kPid), ElementsAre(2, 7, 12));
  EXPECT_THAT(pids(TopOrder::kMemory), ElementsAre(7, 12, 2));
  EXPECT_THAT(pids(TopOrder::kCpu), ElementsAre(7, 12, 2));  // equal ones by memory
}

TEST_F(TopTest, TheScreen) {
  PassTenSeconds();
  std::string text = Drawn(80, 12);
  EXPECT_THAT(text, StartsWith(" n1  up 1h1m  3 processes, 2 shown  "));
  EXPECT_THAT(text, HasSubstr("\n cpu 25.0% of 2  memory 3.0GiB of 4.0GiB (75%)  load 0.10 0.20 0.30\n\n"));
  EXPECT_THAT(text, HasSubstr("\n     PID   CPU%v       PSS       RSS  S  CGROUP   COMMAND\n"
                              "       7    50.0   50.0MiB    100MiB  S  /system  /usr/bin/kubelet\n"
                              "      12    30.0    9.0MiB   18.0MiB  S  /system  apid\n"));
  EXPECT_THAT(text, Not(HasSubstr("kthreadd")));
  look_.kernel_threads = true;
  look_.first = 99;
  EXPECT_THAT(Drawn(80, 12), HasSubstr("[kthreadd]"));
  EXPECT_EQ(look_.first, 2u);
}

TEST_F(TopTest, WithoutTheNodeWhatWasIsStillThere) {
  PassTenSeconds();
  node_.health.Tell("cpus", absl::UnavailableError("connection refused"), now_);
  std::string text = Drawn(120, 12, absl::Seconds(7));
  EXPECT_THAT(text, HasSubstr("\n no answer for 7s: connection refused; trying again\n"));
  EXPECT_THAT(text, HasSubstr("     0.0   50.0MiB    100MiB  S  /system  /usr/bin/kubelet\n"));
}

TEST_F(TopTest, SmallScreens) {
  PassTenSeconds();
  for (size_t width : {1, 5, 20, 40}) {
    for (size_t height : {1, 2, 3, 5}) Drawn(width, height);
  }
}

class DashboardTest : public testing::Test {
 protected:
  void SetUp() override {
    node_.name = "192.0.2.1";
    node_.version.set_hostname("worker-1");
    node_.version.set_stele("0.1.0");
    node_.version.set_kernel("6.12.0");
    stele::resource::v1::Kernel kernel;
    kernel.mutable_uptime()->set_seconds(90'000);
    kernel.set_load("1 2 3");
    Put("running", kernel, kStart, &node_.kernel);
    stele::resource::v1::Service service;
    service.set_state(stele::resource::v1::SERVICE_STATE_RUNNING);
    service.set_ready(true);
    service.mutable_started()->set_seconds(1'000'002 - 67);
    Put("apid", service, kStart, &node_.services);
    Put("containerd", service, kStart, &node_.services);
    service.set_state(stele::resource::v1::SERVICE_STATE_BACKOFF);
    service.set_restarts(4);
    service.set_message("exit 1");
    Put("kubelet", service, kStart, &node_.services);
    stele::resource::v1::Pressure pressure;
    Put("memory", pressure, kStart, &node_.pressure);
    pressure.set_some_10s(12.5);
    Put("cpu", pressure, kStart, &node_.pressure);
    stele::resource::v1::Link link;
    link.set_operational_state("unknown");
    Put("lo", link, kStart, &node_.links);
    link.set_operational_state("up");
    Put("eth0", link, kStart, &node_.links);
    stele::resource::v1::Address address;
    address.set_link("eth0");
    address.set_address("192.0.2.1/24");
    Put("x", address, kStart, &node_.addresses);
    stele::resource::v1::LinkCounters counters;
    counters.set_received_bytes(1'000'000);
    Put("eth0", counters, kStart, &node_.counters);
    Sync(&node_.counters, kStart);
    counters.set_received_bytes(1'000'000 + 4'096);
    Put("eth0", counters, kStart + absl::Seconds(2), &node_.counters);
    node_.log_of = "apid";
    for (int i = 0; i < 100; ++i) node_.log.push_back(absl::StrCat("line ", i));
    auto& event = node_.events.emplace_back();
    event.set_kind("service");
    event.set_subject("kubelet");
    event.set_message("ended\x1b[2J");
    event.set_severity(stele::machine::v1::SEVERITY_WARNING);
    look_.pane = Pane::kService;
  }

  std::string Drawn(size_t width, size_t height) {
    Frame frame(width, height);
    DrawDashboard(node_, kStart + absl::Seconds(2), &look_, &frame);
    return frame.Text();
  }

  DashboardNode node_;
  DashboardLook look_;
};

TEST_F(DashboardTest, AllOnAWideScreen) {
  std::string text = Drawn(120, 30);
  EXPECT_THAT(text, StartsWith(" worker-1 (192.0.2.1)  stele 0.1.0  kernel 6.12.0  up 1d1h  "));
  EXPECT_THAT(text, HasSubstr(" SERVICES 2/3   STATE     SINCE   RESTARTS MESSAGE"));
  EXPECT_THAT(text, HasSubstr(">apid           Running   1m7s    0"));
  EXPECT_THAT(text, HasSubstr(" kubelet        Backoff   1m7s    4        exit 1"));
  EXPECT_THAT(text, HasSubstr("cpu           12.5    0.0    0.0        0.0"));
  EXPECT_THAT(text, HasSubstr("eth0       up      2.0KiB/s        0B/s  192.0.2.1/24"));
  EXPECT_THAT(text, HasSubstr("[log of apid]"));
  EXPECT_THAT(text, HasSubstr("\n line 99\n q quit"));
}

TEST_F(DashboardTest, AllOnANarrowScreen) {
  std::string text = Drawn(80, 24);
  EXPECT_THAT(text, HasSubstr("\n PRESSURE 10s  cpu 12.5  memory 0.0\n"));
  EXPECT_THAT(text, HasSubstr("\n eth0       up      2.0KiB/s        0B/s  192.0.2.1/24\n"));
  EXPECT_THAT(text, HasSubstr(" kubelet        Backoff"));
  EXPECT_THAT(text, HasSubstr("\n line 99\n q quit"));
}

TEST_F(DashboardTest, PanesAndScrolling) {
  look_.pane = Pane::kEvents;
  EXPECT_THAT(Drawn(120, 30), HasSubstr("  Warning  service/kubelet           ended?[2J\n"));
  look_.pane = Pane::kKernel;
  EXPECT_EQ(LogOf(node_, look_), "kernel");
  EXPECT_THAT(Drawn(120, 30), Not(HasSubstr("line 99"))) << "apid's lines are not the kernel's";
  look_ = {0, Pane::kService, SIZE_MAX};
  EXPECT_THAT(Drawn(120, 30), HasSubstr("\n line 0\n"));
  EXPECT_LT(look_.back, 100u);
  EXPECT_THAT(Drawn(120, 30), HasSubstr(absl::StrCat(look_.back, " lines back")));
}

TEST_F(DashboardTest, TheChosenServiceIsSeen) {
  for (int i = 0; i < 40; ++i) Put(absl::StrCat("z", i), stele::resource::v1::Service(), kStart, &node_.services);
  look_.service = 99;
  EXPECT_THAT(Drawn(80, 24), HasSubstr(">z9 "));
  EXPECT_EQ(look_.service, 42u);
  EXPECT_EQ(LogOf(node_, look_), "z9");
}

TEST_F(DashboardTest, SmallScreensAndEmptyNodes) {
  for (size_t width : {1, 10, 57, 58, 119, 120}) {
    for (size_t height : {1, 2, 3, 4, 5, 9, 10}) Drawn(width, height);
  }
  node_ = DashboardNode();
  Drawn(100, 30);
  Drawn(80, 24);
}

}  // namespace
}  // namespace stele::osctl
