// A real apid process on loopback, with keys of its own and a gRPC server of the test's in machined's
// place, talked to by gRPC's own client.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "apid/pki_for_test.h"
#include "base/unique_fd.h"

namespace stele {

struct NodeOptions {
  rlim_t descriptors = 1024;
  bool keys = true;    // there from the start
  std::string folder;  // of keys, instead of the node's
};

class TestNode {
 public:
  using Options = NodeOptions;

  explicit TestNode(Options options = {}) : client_ca(MakeCa("client ca")), server_ca(MakeCa("server ca")) {
    char name[] = "/tmp/stele-apid-XXXXXX";
    directory = ::mkdtemp(name);
    if (options.keys) WriteKeys();
    socket_path = directory + "/machined.sock";
    Listen();
    Start(options);
  }

  ~TestNode() {
    Stop();
    std::string command = "rm -rf " + directory;
    if (std::system(command.c_str()) != 0) std::abort();
  }
  TestNode(const TestNode&) = delete;
  TestNode& operator=(const TestNode&) = delete;

  void Start(Options options = {}) {
    std::string keys = options.folder.empty() ? directory : options.folder, machined = socket_path,
                log = directory + "/log";
    UniqueFd out(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    char pid_text[32] = "LISTEN_PID=";
    char fds_text[] = "LISTEN_FDS=1";
    char* environment[] = {fds_text, pid_text, nullptr};
    const char* arguments[] = {STELE_APID, "--keys", keys.c_str(), "--machined", machined.c_str(), nullptr};
    rlimit limit = {options.descriptors, options.descriptors};
    pid = ::fork();
    if (pid == 0) {
      int self = ::getpid();
      char digits[16];
      int count = 0;
      for (; self > 0; self /= 10) digits[count++] = static_cast<char>('0' + self % 10);
      char* at = pid_text + 11;
      while (count > 0) *at++ = digits[--count];
      *at = 0;
      ::dup2(out.get(), 1);
      ::dup2(out.get(), 2);
      if (listener.get() == 3) {
        ::fcntl(3, F_SETFD, 0);
      } else {
        ::dup2(listener.get(), 3);
      }
      ::setrlimit(RLIMIT_NOFILE, &limit);
      ::close_range(4, ~0u, 0);
      ::execve(STELE_APID, const_cast<char**>(arguments), environment);
      ::_exit(127);
    }
  }

  // The exit status as waitpid(2) gives it.
  int Stop(int signal = SIGTERM) {
    if (pid <= 0) return 0;
    ::kill(pid, signal);
    return Wait();
  }
  int Wait() {
    int status = 0;
    ::waitpid(pid, &status, 0);
    pid = -1;
    return status;
  }
  bool Alive() const { return pid > 0 && ::waitpid(pid, nullptr, WNOHANG) == 0; }

  std::string Log() const {
    std::ifstream in(directory + "/log");
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }
  // Whether the log shows `text` within some seconds.
  bool LogShows(const std::string& text) const {
    for (int i = 0; i < 100; ++i) {
      if (absl::StrContains(Log(), text)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }

  // Memory that is apid's alone.
  long PrivateKilobytes() const {
    std::ifstream in(absl::StrCat("/proc/", pid, "/smaps_rollup"));
    long sum = 0, value = 0;
    for (std::string line; std::getline(in, line);) {
      if (std::sscanf(line.c_str(), "Private_Dirty: %ld", &value) == 1) sum += value;
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return sum / 8;  // the rest is the sanitizer's own
#else
    return sum;
#endif
  }

  // A plain TCP connection from `source`.
  UniqueFd Connect(const char* source = "127.0.0.1") const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    ::inet_pton(AF_INET, source, &address.sin_addr);
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return UniqueFd();
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd.reset();
    return fd;
  }

  // A certificate of its own each time, and the CA of clients as it is now.
  void WriteKeys() const {
    KeyPair server = Server();
    Write("client-ca.crt", client_ca.CertificatePem());
    Write("tls.pem", server.CertificatePem() + server.KeyPem());
  }
  KeyPair Server() const {
    return MakeKeyPair({.common_name = "node",
                        .organizations = {},
                        .usage = "serverAuth",
                        .alternative_names = "DNS:node,IP:127.0.0.1"},
                       &server_ca);
  }

  // As machined does: replaced by one rename.
  void Write(const std::string& name, const std::string& text) const {
    std::string path = directory + "/" + name, draft = directory + "/draft";
    std::ofstream(draft) << text;
    if (std::rename(draft.c_str(), path.c_str()) != 0) std::abort();
  }

  KeyPair Client(const LeafOptions& options) const { return MakeKeyPair(options, &client_ca); }
  KeyPair Admin() const { return Client({}); }

  // With a certificate, or without one.
  std::shared_ptr<grpc::Channel> Channel(const KeyPair* client, grpc::ChannelArguments arguments = {}) const {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = server_ca.CertificatePem();
    if (client != nullptr) {
      options.pem_cert_chain = client->CertificatePem();
      options.pem_private_key = client->KeyPem();
    }
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port), grpc::SslCredentials(options), arguments);
  }

  std::string directory;
  std::string socket_path;
  KeyPair client_ca;
  KeyPair server_ca;
  int port = 0;
  pid_t pid = -1;

 private:
  void Listen() {
    listener.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener.get(), 128) != 0) {
      std::abort();
    }
    ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
  }

  UniqueFd listener;
};

// machined's place. Takes every method: reads what the client sends, then ends with ABORTED and says in
// the message what arrived, so that a test sees that, and as whom, a call came through.
class EchoMachined : public grpc::CallbackGenericService {
 public:
  explicit EchoMachined(const std::string& socket_path) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_path, grpc::InsecureServerCredentials());
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
  }
  ~EchoMachined() override { server_->Shutdown(std::chrono::system_clock::now()); }

  int calls() const { return calls_; }

 private:
  class Reactor : public grpc::ServerGenericBidiReactor {
   public:
    Reactor(grpc::GenericCallbackServerContext* context) : context_(context) { StartRead(&message_); }
    void OnReadDone(bool ok) override {
      if (ok) {
        bytes_ += message_.Length();
        StartRead(&message_);
        return;
      }
      std::string text = absl::StrCat("bytes=", bytes_);
      for (const auto& [key, value] : context_->client_metadata()) {
        absl::string_view name(key.data(), key.size());
        if (!absl::StartsWith(name, "stele-")) continue;
        absl::StrAppend(&text, " ", name, "=", absl::string_view(value.data(), value.size()));
      }
      context_->AddTrailingMetadata("echo-method", context_->method());
      Finish(grpc::Status(grpc::StatusCode::ABORTED, text));
    }
    void OnDone() override { delete this; }

   private:
    grpc::GenericCallbackServerContext* context_;
    grpc::ByteBuffer message_;
    size_t bytes_ = 0;
  };

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    ++calls_;
    return new Reactor(context);
  }

  std::atomic<int> calls_{0};
  std::unique_ptr<grpc::Server> server_;
};

using ClientMetadata = std::vector<std::pair<std::string, std::string>>;

// Calls `path` with one empty message and returns the status it ends with.
inline grpc::Status CallOnce(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                             const ClientMetadata& metadata = {},
                             std::chrono::milliseconds timeout = std::chrono::seconds(10),
                             bool wait_for_ready = false) {
  struct Reactor : grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
    void OnDone(const grpc::Status& result) override {
      std::lock_guard<std::mutex> lock(mutex);
      status = result;
      done = true;
      condition.notify_one();
    }
    void OnReadDone(bool ok) override {
      if (ok) StartRead(&answer);
    }
    void OnWriteDone(bool) override { StartWritesDone(); }
    std::mutex mutex;
    std::condition_variable condition;
    bool done = false;
    grpc::Status status;
    grpc::ByteBuffer answer, request;
  } reactor;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  context.set_wait_for_ready(wait_for_ready);
  for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
  grpc::Slice empty("");
  reactor.request = grpc::ByteBuffer(&empty, 1);
  grpc::GenericStub stub(channel);
  stub.PrepareBidiStreamingCall(&context, path, {}, &reactor);
  reactor.StartWrite(&reactor.request);
  reactor.StartRead(&reactor.answer);
  reactor.StartCall();
  std::unique_lock<std::mutex> lock(reactor.mutex);
  reactor.condition.wait(lock, [&reactor] { return reactor.done; });
  return reactor.status;
}

}  // namespace stele
