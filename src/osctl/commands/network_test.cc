// ping, traceroute, resolve, probe and capture, as a user runs them, against a node in this process over mTLS.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <thread>

#include "osctl/fake_node.h"

namespace stele::osctl {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

template <typename Message>
Message Proto(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

class NetworkTest : public FakeNodeTest {
 protected:
  FakeNet& net() { return node_->state().net; }
  std::vector<std::string> calls() { return node_->state().calls; }

  void Pings(const std::vector<std::string>& texts) {
    for (const std::string& text : texts)
      net().pings.push_back(Proto<v1::PingResponse>("address: '192.0.2.1' " + text));
  }

  // Ctrl-C once the node has sent what it has; the command's outcome.
  Outcome Interrupted(const std::vector<std::string>& words) {
    net().endless = true;
    std::thread user([this] {
      while (!net().waiting) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      std::this_thread::sleep_for(std::chrono::milliseconds(50));  // for what is on its way
      ::kill(::getpid(), SIGINT);
    });
    Outcome run = Osctl(words);
    user.join();
    return run;
  }
};

TEST_F(NetworkTest, PingShowsAnswersAndTheSum) {
  Pings(
      {"summary {}",
       "event { sequence: 1 outcome: PING_OUTCOME_REPLY from: '192.0.2.1' ttl: 63 size: 56 round_trip { nanos: 512000 "
       "} }",
       "event { sequence: 2 outcome: PING_OUTCOME_TIMEOUT }",
       "event { sequence: 3 outcome: PING_OUTCOME_ERROR from: '192.0.2.254' message: 'host \\033[2J unreachable' }"
       "summary { transmitted: 3 received: 1 errors: 1 loss_percent: 66.666 min { nanos: 512000 } avg { nanos: 512000 }"
       " max { nanos: 512000 } mdev {} }"});
  Outcome run =
      Osctl({"ping", "far", "-c", "3", "-i", "200ms", "-s", "0", "-W", "1s", "-I", "eth0", "-4", "--dont-fragment"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            "ping far (192.0.2.1)\n"
            "56 bytes from 192.0.2.1: seq=1 ttl=63 time=0.512 ms\n"
            "seq=2: no answer\n"
            "from 192.0.2.254: seq=3: host ?[2J unreachable\n"
            "far: 3 sent, 1 received, 66.7% lost, 1 errors; min/avg/max/mdev 0.512/0.512/0.512/0.000 ms\n");
  EXPECT_THAT(calls(),
              ElementsAre("ping host: \"far\" count: 3 interval { nanos: 200000000 } size: 0 timeout { seconds: 1 } "
                          "source: \"eth0\" family: IP_FAMILY_IPV4 dont_fragment: true"));
}

TEST_F(NetworkTest, PingWithoutAnAnswerFails) {
  Pings({"summary { transmitted: 2 loss_percent: 100 }"});
  Outcome run = Osctl({"ping", "far", "-c", "2", "-o", "yaml"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.out, HasSubstr("lossPercent: 100"));
  EXPECT_THAT(run.err, EndsWith(": ping far: nothing answered\n"));
  EXPECT_EQ(Osctl({"ping", "far", "-4", "-6"}).code, 2);
  EXPECT_EQ(Osctl({"ping", "far", "-s", "many"}).code, 2);
  EXPECT_EQ(Osctl({"ping"}).code, 2);
}

TEST_F(NetworkTest, CtrlCSumsUp) {
  Pings({"summary {}",
         "event { sequence: 1 outcome: PING_OUTCOME_REPLY from: '192.0.2.1' } summary { transmitted: 1 received: 1 }"});
  Outcome run = Interrupted({"ping", "far"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("far: 1 sent, 1 received, 0% lost"));
  EXPECT_EQ(run.err, "");
  for (int i = 0; i < 1000 && net().cancelled == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(net().cancelled, 1);
}

TEST_F(NetworkTest, AFailureAfterAnswersIsOne) {
  Pings({"summary { transmitted: 1 received: 1 }"});
  net().answer = {grpc::StatusCode::INTERNAL, "the node broke"};
  Outcome run = Osctl({"ping", "far"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.out, HasSubstr("1 received"));
  EXPECT_THAT(run.err, HasSubstr("the node broke"));
}

TEST_F(NetworkTest, TracerouteShowsHops) {
  for (const char* text : {
           "address: '192.0.2.9'",
           "address: '192.0.2.9' hop { ttl: 1 probes { from: '10.0.0.1' round_trip { nanos: 1500000 } } probes {} "
           "probes "
           "{ from: '10.0.0.2' round_trip { nanos: 2000000 } } }",
           "address: '192.0.2.9' hop { ttl: 2 probes { from: '10.0.0.9' round_trip { nanos: 9 } message: 'host "
           "forbidden' } }",
       }) {
    net().hops.push_back(Proto<v1::TraceRouteResponse>(text));
  }
  Outcome run = Osctl({"traceroute", "far", "--icmp", "-m", "5", "-q", "1"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            "traceroute to far (192.0.2.9)\n"
            " 1  10.0.0.1  1.500 ms  *  10.0.0.2  2.000 ms\n"
            " 2  10.0.0.9  0.000 ms (host forbidden)\n");
  EXPECT_THAT(run.err, HasSubstr("far did not answer itself"));
  EXPECT_THAT(calls(), ElementsAre("traceroute host: \"far\" protocol: TRACE_PROTOCOL_ICMP max_hops: 5 probes: 1"));
  Outcome json = Osctl({"traceroute", "far", "-o", "json"});
  EXPECT_THAT(json.out, HasSubstr("\"reached\": false"));
  net().hops.resize(1);
  EXPECT_EQ(Osctl({"traceroute", "far"}).code, 1);
}

TEST_F(NetworkTest, ResolveShowsWhoSaidWhat) {
  net().resolved = Proto<v1::ResolveResponse>(
      "queries { name: 'far.lab' type: 'A' server: '10.0.0.1:53' duration { seconds: 2 } message: 'no answer within "
      "2s' }"
      "queries { name: 'far.lab' type: 'A' server: '10.0.0.2:53' duration { nanos: 3000000 } code: 'NOERROR' tcp: true"
      "  records { type: 'CNAME' data: 'b.lab' ttl: 60 } records { type: 'A' data: '192.0.2.1' ttl: 5 } }"
      "queries { name: 'far.lab' type: 'AAAA' server: '10.0.0.2:53' code: 'NXDOMAIN' } answers: '192.0.2.1'");
  Outcome run = Osctl({"resolve", "far", "--server", "10.0.0.2"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            "NAME     TYPE  SERVER             TIME  ANSWER (TTL)\n"
            "far.lab  A     10.0.0.1:53        2s    no answer within 2s\n"
            "far.lab  A     10.0.0.2:53 (TCP)  3ms   CNAME b.lab (1m), 192.0.2.1 (5s)\n"
            "far.lab  AAAA  10.0.0.2:53        0s    NXDOMAIN\n");
  net().resolved.clear_answers();
  run = Osctl({"resolve", "far", "-o", "json"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.out, HasSubstr("\"code\": \"NXDOMAIN\""));
  EXPECT_THAT(run.err, HasSubstr("the name has no answer"));
}

TEST_F(NetworkTest, ProbeShowsStepsAndTheCertificate) {
  net().probed = Proto<v1::ProbeResponse>(
      "answered: true address: '192.0.2.1:443' connect_time { nanos: 1000000 } tls_time { nanos: 5000000 } "
      "http_time { nanos: 2000000 } status_line: 'HTTP/1.1 200 OK' tls { version: 'TLSv1.3' subject: 'CN=far' "
      "issuer: 'CN=ca' not_after { seconds: 1800000000 } problem: 'self-signed certificate' }");
  Outcome run = Osctl({"probe", "http", "https://far/", "--get"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            "ADDRESS        NAME  CONNECT  TLS  HTTP  RESULT\n"
            "192.0.2.1:443  -     1ms      5ms  2ms   HTTP/1.1 200 OK\n"
            "TLS      SUBJECT  ISSUER  EXPIRES               TRUSTED\n"
            "TLSv1.3  CN=far   CN=ca   2027-01-15T08:00:00Z  no: self-signed certificate\n");
  EXPECT_THAT(calls(), ElementsAre("probe url: \"https://far/\" method: PROBE_METHOD_GET"));
  net().probed =
      Proto<v1::ProbeResponse>("failed_step: 'connect' message: 'connection refused' address: '192.0.2.1:1'");
  run = Osctl({"probe", "tcp", "far:1"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.out, HasSubstr("192.0.2.1:1  -     -        connect: connection refused"));
  EXPECT_EQ(Osctl({"probe"}).code, 2);
}

class CaptureTest : public NetworkTest {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    net().captured = {Proto<v1::CaptureResponse>("chunk: 'header' summary { bytes: 6 }"),
                      Proto<v1::CaptureResponse>("chunk: '\\000\\377' summary { bytes: 8 packets: 2 dropped: 1 }")};
  }
};

TEST_F(CaptureTest, WritesWhatTheNodeSends) {
  std::string path = directory_.path() + "/trace.pcap";
  Outcome run = Interrupted({"capture", "-i", "eth0", "-w", path, "-s", "100", "-c", "7", "-t", "1m", "--max-size", "2",
                             "tcp", "port", "80"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.err, "osctl: capturing; Ctrl-C ends it\nosctl: 2 packets, 8B, 1 dropped\n");
  EXPECT_EQ(*ReadFile(path), std::string("header\0\377", 8));
  struct stat status;
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
  EXPECT_THAT(
      calls(),
      ElementsAre("capture interface: \"eth0\" filter: \"tcp port 80\" snap_length: 100 max_packets: 7 duration "
                  "{ seconds: 60 } max_bytes: 2097152"));
}

TEST_F(CaptureTest, GoesToStdoutButNotToATerminal) {
  net().captured.back().mutable_summary()->set_end("max_packets");
  Outcome run = Osctl({"capture"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, std::string("header\0\377", 8));
  EXPECT_THAT(run.err, EndsWith("; ended by max_packets\n"));

  UniqueFd main(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(main.ok() && ::grantpt(main.get()) == 0 && ::unlockpt(main.get()) == 0);
  UniqueFd terminal(::open(::ptsname(main.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(terminal.ok());
  std::map<std::string, std::string> environment = {{"OSCTLCONFIG", keys() + "/osctl.yaml"}};
  for (const auto& words : {std::vector<std::string>{"capture"}, {"capture", "-w", "-"}}) {
    run = RunOsctl(words, environment, -1, -1, terminal.get());
    EXPECT_EQ(run.code, 2);
    EXPECT_THAT(run.err, HasSubstr("not for a terminal"));
  }
  EXPECT_EQ(calls().size(), 1u);
}

TEST_F(CaptureTest, IsOfOneNodeIntoAFileThatCanBe) {
  EXPECT_EQ(Osctl({"capture", "-n", "127.0.0.1:1,127.0.0.1:2"}).code, 2);
  EXPECT_EQ(Osctl({"capture", "-w", "/nowhere/x"}).code, 8);
  EXPECT_THAT(Osctl({"capture", "-w", "/dev/full"}).err, HasSubstr("No space left"));
}

}  // namespace
}  // namespace stele::osctl
