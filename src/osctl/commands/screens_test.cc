// osctl top and dashboard on a terminal of the test's, against a node in this process.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "osctl/fake_node.h"
#include "stele/resource/v1/kernel.pb.h"
#include "stele/resource/v1/network.pb.h"

namespace stele::osctl {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kOtherScreen[] = "\x1b[?1049h";
constexpr char kBack[] = "\x1b[?7h\x1b[?25h\x1b[?1049l";
constexpr absl::Duration kPatience = absl::Seconds(60);  // the machine may be starved

// A terminal, and what was written to it.
class Terminal {
 public:
  Terminal() : keyboard_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    EXPECT_EQ(::grantpt(keyboard_.get()) | ::unlockpt(keyboard_.get()), 0);
    screen_.reset(::open(::ptsname(keyboard_.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    Resize(100, 30);
    reader_ = std::thread([this] {
      char bytes[4096];
      ssize_t got = 0;
      while ((got = ::read(keyboard_.get(), bytes, sizeof bytes)) > 0) {
        std::lock_guard<std::mutex> lock(mutex_);
        written_.append(bytes, static_cast<size_t>(got));
      }
    });
  }
  ~Terminal() {
    screen_.reset();  // the reader meets EIO
    reader_.join();
  }

  int fd() const { return screen_.get(); }
  void Press(absl::string_view keys) { EXPECT_TRUE(WriteAll(keyboard_.get(), keys).ok()); }
  void Resize(unsigned short columns, unsigned short rows) {
    winsize size = {};
    size.ws_col = columns;
    size.ws_row = rows;
    EXPECT_EQ(::ioctl(keyboard_.get(), TIOCSWINSZ, &size), 0);
  }
  std::string Written() {
    std::lock_guard<std::mutex> lock(mutex_);
    return written_;
  }
  void Clear() {
    std::lock_guard<std::mutex> lock(mutex_);
    written_.clear();
  }
  // Waits until this was written since the last time, and forgets what was.
  void Await(absl::string_view text) {
    for (absl::Time until = absl::Now() + kPatience; absl::Now() < until; absl::SleepFor(absl::Milliseconds(5))) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!absl::StrContains(written_, text)) continue;
      written_.clear();
      return;
    }
    ADD_FAILURE() << "not on the screen: " << text << "; there is: " << Written();
  }
  bool Settings(termios* settings) const { return ::tcgetattr(screen_.get(), settings) == 0; }

 private:
  UniqueFd keyboard_, screen_;
  std::mutex mutex_;
  std::string written_;
  std::thread reader_;
};

// A node whose watches go on: what is put into its state is told within 10 ms. (FakeNode's break, as others need it.)
class WatchedResources : public v1::ResourceService::Service {
 public:
  explicit WatchedResources(FakeState* state) : state_(state) {}
  grpc::Status List(grpc::ServerContext*, const v1::ListRequest* request, v1::ListResponse* response) override {
    std::lock_guard<std::mutex> lock(state_->mutex);
    for (const auto& [id, resource] : state_->resources[request->type()]) *response->add_resources() = resource;
    return grpc::Status::OK;
  }
  grpc::Status Watch(grpc::ServerContext* context, const v1::WatchRequest* request,
                     grpc::ServerWriter<v1::WatchResponse>* writer) override {
    state_->Record("watch " + request->type());
    if (request->type() == denied) return {grpc::StatusCode::PERMISSION_DENIED, "role x may not"};
    std::map<std::string, std::string> told;
    for (bool synced = false; !context->IsCancelled(); std::this_thread::sleep_for(std::chrono::milliseconds(10))) {
      std::lock_guard<std::mutex> lock(state_->mutex);
      if (state_->resources.count(request->type()) == 0) {
        return {grpc::StatusCode::NOT_FOUND, absl::StrCat("no resource type '", request->type(), "'")};
      }
      v1::WatchResponse response;
      for (const auto& [id, resource] : state_->resources[request->type()]) {
        if (std::exchange(told[id], resource.body().value()) == resource.body().value() && synced) continue;
        *response.mutable_updated() = resource;
        writer->Write(response);
      }
      if (std::exchange(synced, true)) continue;
      response.set_synced(true);
      writer->Write(response);
    }
    return grpc::Status::OK;
  }

  std::string denied;  // before the first call

 private:
  FakeState* state_;
};

class WatchedNode {
 public:
  WatchedNode(const KeyPair& server, const std::string& client_ca, int port = 0) {
    grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = client_ca;
    options.pem_key_cert_pairs.push_back({server.key, server.certificate});
    grpc::ServerBuilder builder;
    builder.AddListeningPort(absl::StrCat("127.0.0.1:", port), grpc::SslServerCredentials(options), &port_);
    for (grpc::Service* service : std::initializer_list<grpc::Service*>{&system_, &resources_, &logs_, &events_}) {
      builder.RegisterService(service);
    }
    server_ = builder.BuildAndStart();
  }
  ~WatchedNode() { server_->Shutdown(std::chrono::system_clock::now()); }

  int port() const { return port_; }
  FakeState& state() { return state_; }
  void Deny(const std::string& type) { resources_.denied = type; }

 private:
  FakeState state_;
  FakeSystem system_{&state_};
  WatchedResources resources_{&state_};
  FakeLogs logs_{&state_};
  FakeEvents events_{&state_};
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

bool Same(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_lflag == b.c_lflag &&
         std::equal(std::begin(a.c_cc), std::end(a.c_cc), std::begin(b.c_cc));
}

class ScreensTest : public FakeNodeTest {
 protected:
  void SetUp() override {
    FakeNodeTest::SetUp();
    watched_ = StartWatched(0);
    Point(watched_->port());
    resource::v1::Process process;
    process.set_command("/usr/bin/kubelet");
    process.set_proportional_bytes(50 << 20);
    PutWatched("processes", "123", process);
    process.set_command("apid");
    process.set_proportional_bytes(9 << 20);
    PutWatched("processes", "45", process);
    resource::v1::Service service;
    service.set_state(resource::v1::SERVICE_STATE_RUNNING);
    service.set_ready(true);
    PutWatched("services", "apid", service);
    PutWatched("services", "kubelet", service);
    resource::v1::Link link;
    link.set_operational_state("up");
    PutWatched("links", "eth0", link);
    state().log = "one\ntwo\n";
  }

  FakeState& state() { return watched_->state(); }
  std::unique_ptr<WatchedNode> StartWatched(int port) {
    return std::make_unique<WatchedNode>(*store().Load("demo"), *store().LoadCertificate("client-ca"), port);
  }
  void PutWatched(const std::string& type, const std::string& id, const google::protobuf::Message& body) {
    Put(type, id, body);
    std::lock_guard<std::mutex> lock(state().mutex);
    state().resources[type][id] = node_->state().resources[type][id];
  }

  // Runs it on `terminal`, with `user` beside it.
  Outcome OnTerminal(const std::vector<std::string>& words, Terminal* terminal, const std::function<void()>& user,
                     std::map<std::string, std::string> environment = {}) {
    environment["OSCTLCONFIG"] = keys() + "/osctl.yaml";
    std::thread presses(user);
    Outcome run = RunOsctl(words, environment, terminal->fd(), -1, terminal->fd());
    presses.join();
    return run;
  }

  // Whether what it wrote last was to give the screen back.
  static bool GaveBack(Terminal* terminal) {
    for (int i = 0; i < 1000 && !absl::EndsWith(terminal->Written(), kBack); ++i) absl::SleepFor(absl::Milliseconds(5));
    return absl::EndsWith(terminal->Written(), kBack);
  }

  std::unique_ptr<WatchedNode> watched_;
};

TEST_F(ScreensTest, TopOnATerminal) {
  Terminal terminal;
  termios before = {}, during = {}, after = {};
  ASSERT_TRUE(terminal.Settings(&before));
  Outcome run = OnTerminal({"top"}, &terminal, [&] {
    terminal.Await("/usr/bin/kubelet");
    terminal.Settings(&during);
    terminal.Press("m");
    terminal.Await("PSSv");
    terminal.Press("c");
    terminal.Await("CPU%v");
    terminal.Press("\x1b[B");  // down: the first row is no longer there
    terminal.Await("apid");
    terminal.Resize(60, 10);
    ::kill(::getpid(), SIGWINCH);  // it is no controlling terminal
    terminal.Await("\x1b[10;1H");
    EXPECT_THAT(terminal.Written(), Not(HasSubstr("\x1b[11;1H")));
    terminal.Press("q");
  });
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out + run.err, "");
  ASSERT_TRUE(terminal.Settings(&after));
  EXPECT_TRUE(Same(before, after));
  EXPECT_EQ(during.c_lflag & (ICANON | ECHO), 0u);
  EXPECT_TRUE(GaveBack(&terminal));
}

TEST_F(ScreensTest, DashboardOnATerminal) {
  Terminal terminal;
  Outcome run = OnTerminal({"dashboard"}, &terminal, [&] {
    terminal.Await("[events]");
    terminal.Await("kubelet");
    {
      std::lock_guard<std::mutex> lock(state().mutex);
      auto& event = state().events.emplace_back();
      event.set_id(7);
      event.set_kind("service");
      event.set_message("it happened");
    }
    terminal.Await("it happened");
    terminal.Press("\x1b[B");
    terminal.Await("[log of kubelet]");
    terminal.Await("two");
    terminal.Press("\t");
    terminal.Await("[kernel]");
    terminal.Press("\x1b[D");
    terminal.Await("[log of kubelet]");
    resource::v1::Service service;
    service.set_message("is not well");
    PutWatched("services", "kubelet", service);
    terminal.Await("is not well");
    terminal.Press("\x1b");
  });
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(GaveBack(&terminal));
}

// A call for each type, however long it is looked at.
TEST_F(ScreensTest, AWatchIsOneCall) {
  Terminal terminal;
  Outcome run = OnTerminal({"top"}, &terminal, [&] {
    terminal.Await("/usr/bin/kubelet");
    for (int i = 0; i < 5; ++i) {
      resource::v1::Process process;
      process.set_command(absl::StrCat("step ", i));
      PutWatched("processes", "45", process);
      terminal.Await(absl::StrCat("step ", i));
    }
    terminal.Press("q");
  });
  EXPECT_EQ(run.code, 0) << run.err;
  std::lock_guard<std::mutex> lock(state().mutex);
  EXPECT_THAT(state().calls,
              testing::UnorderedElementsAre("watch processes", "watch cpus", "watch memory", "watch kernel"));
}

// A role that may not see a part sees the others, and asks for that part once.
TEST_F(ScreensTest, WhatIsDeniedIsSaidAndNotAskedAgain) {
  watched_->Deny("links");
  Terminal terminal;
  Outcome run = OnTerminal({"dashboard"}, &terminal, [&] {
    terminal.Await("without links: role x may not");
    absl::SleepFor(absl::Milliseconds(1200));  // two pauses
    terminal.Press("q");
  });
  EXPECT_EQ(run.code, 0) << run.err;
  std::lock_guard<std::mutex> lock(state().mutex);
  EXPECT_EQ(std::count(state().calls.begin(), state().calls.end(), "watch links"), 1);
}

TEST_F(ScreensTest, TheNodeGoesAndComesBack) {
  Terminal terminal;
  int port = watched_->port();
  Outcome run = OnTerminal({"dashboard"}, &terminal, [&] {
    terminal.Await("kubelet");
    auto resources = state().resources;
    watched_.reset();
    terminal.Await("no answer for ");
    watched_ = StartWatched(port);
    {
      std::lock_guard<std::mutex> lock(state().mutex);
      state().resources = resources;
    }
    resource::v1::Service service;
    service.set_message("is back");
    PutWatched("services", "kubelet", service);
    terminal.Await("is back");
    terminal.Press("q");
  });
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(GaveBack(&terminal));
}

TEST_F(ScreensTest, NoColourWhereNoneIsWanted) {
  for (const char* no_color : {"", "1"}) {
    Terminal terminal;
    std::string seen;
    OnTerminal({"dashboard"}, &terminal,
               [&] {
                 while (!absl::StrContains(seen = terminal.Written(), "Running")) absl::SleepFor(absl::Milliseconds(5));
                 terminal.Press("q");
               },
               {{"NO_COLOR", no_color}});
    EXPECT_EQ(absl::StrContains(seen, "\x1b[32m"), *no_color == '\0') << no_color;
  }
}

// In a program of its own: it ends by the signal.
TEST_F(ScreensTest, ASignalGivesTheScreenBack) {
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGSEGV}) {
    Terminal terminal;
    termios before = {}, after = {};
    ASSERT_TRUE(terminal.Settings(&before));
    std::string config = "OSCTLCONFIG=" + keys() + "/osctl.yaml";
    pid_t pid = ::fork();
    if (pid == 0) {
      ::dup2(terminal.fd(), 0);
      ::dup2(terminal.fd(), 1);
      ::dup2(terminal.fd(), 2);
      char* environment[] = {config.data(), nullptr};
      ::execle(STELE_OSCTL, "osctl", "top", nullptr, environment);
      ::_exit(127);
    }
    terminal.Await("/usr/bin/kubelet");
    ASSERT_EQ(::kill(pid, signal), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signal) << status;
    ASSERT_TRUE(terminal.Settings(&after));
    EXPECT_TRUE(Same(before, after));
    EXPECT_TRUE(GaveBack(&terminal)) << signal;
  }
}

TEST_F(ScreensTest, TopPrintsOffATerminal) {
  Outcome run = Osctl({"top", "--interval", "200ms", "--sort", "memory"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            "PID  CPU%  PSS      RSS  S  CGROUP  COMMAND\n"
            "123  0.0   50.0MiB  0B   -  -       /usr/bin/kubelet\n"
            "45   0.0   9.0MiB   0B   -  -       apid\n");
  Terminal terminal;
  std::string once;
  Outcome on_terminal = OnTerminal({"top", "--once"}, &terminal, [&] { terminal.Await("apid"); });
  EXPECT_EQ(on_terminal.code, 0);
  EXPECT_THAT(terminal.Written(), Not(HasSubstr(kOtherScreen)));
}

TEST_F(ScreensTest, WhatCannotBeShown) {
  Outcome piped = Osctl({"dashboard"});
  EXPECT_EQ(piped.code, 2);
  EXPECT_THAT(piped.err, HasSubstr("dashboard: this needs a terminal with a cursor; `osctl top --once`"));
  Terminal terminal;
  auto nothing = [] {};
  EXPECT_EQ(OnTerminal({"dashboard"}, &terminal, nothing, {{"TERM", "dumb"}}).code, 2);
  Outcome several = OnTerminal({"top", "-n", "a,b"}, &terminal, nothing);
  EXPECT_EQ(several.code, 2);
  EXPECT_THAT(several.err, HasSubstr("top shows one node at a time, not 2; choose it with -n"));
  watched_.reset();
  Outcome gone = OnTerminal({"dashboard"}, &terminal, nothing);
  EXPECT_EQ(gone.code, 3);
  EXPECT_THAT(gone.err, HasSubstr("Connection refused"));
  EXPECT_THAT(terminal.Written(), Not(HasSubstr(kOtherScreen)));
}

}  // namespace
}  // namespace stele::osctl
