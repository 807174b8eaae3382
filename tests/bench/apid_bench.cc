// apid between a gRPC client and a gRPC server, beside the same two without anything between (bare, mTLS)
// and with a plain generic gRPC proxy between. All in one run, in turns, so that a busy machine is as
// busy for each. Prints JSON: every round's figures.
//
//   apid_bench [ROUNDS]
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <spawn.h>

#include <algorithm>
#include <iostream>

#include "apid/node_for_test.h"
#include "stele/machine/v1/image_service.grpc.pb.h"
#include "stele/machine/v1/log_service.grpc.pb.h"
#include "stele/machine/v1/system_service.grpc.pb.h"

extern char** environ;

namespace stele {
namespace {

namespace v1 = stele::machine::v1;
using std::chrono::steady_clock;

constexpr uint32_t kChunk = 64 * 1024;
constexpr uint64_t kStreamBytes = 256ull << 20;
constexpr uint64_t kUploadBytes = 128ull << 20;
constexpr double kUnarySeconds = 1.0;
constexpr int kThreads = 8;

// --- the server: the same for all three, behind TLS or on a unix socket ---

class Machine : public v1::SystemService::Service, public v1::LogService::Service, public v1::ImageService::Service {
  grpc::Status Version(grpc::ServerContext*, const v1::VersionRequest*, v1::VersionResponse* out) override {
    out->set_stele("1.0.0");
    out->set_kernel("6.12.0");
    out->set_hostname("node");
    return grpc::Status::OK;
  }
  grpc::Status ReadLog(grpc::ServerContext*, const v1::ReadLogRequest*,
                       grpc::ServerWriter<v1::ReadLogResponse>* writer) override {
    v1::ReadLogResponse chunk;
    chunk.set_data(std::string(kChunk, 'x'));
    for (uint64_t sent = 0; sent < kStreamBytes && writer->Write(chunk); sent += kChunk) {
    }
    return grpc::Status::OK;
  }
  grpc::Status ImportImage(grpc::ServerContext*, grpc::ServerReader<v1::ImportImageRequest>* reader,
                           v1::ImportImageResponse* out) override {
    v1::ImportImageRequest chunk;
    uint64_t bytes = 0;
    while (reader->Read(&chunk)) bytes += chunk.chunk().size();
    out->set_bytes(bytes);
    return grpc::Status::OK;
  }
};

std::string ReadText(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::shared_ptr<grpc::ServerCredentials> MutualTls(const std::string& keys) {
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = ReadText(keys + "/client-ca.crt");
  std::string identity = ReadText(keys + "/tls.pem");  // certificate and key
  options.pem_key_cert_pairs = {{identity, identity}};
  return grpc::SslServerCredentials(options);
}

void Serve(grpc::ServerBuilder& builder, int* port) {
  auto server = builder.BuildAndStart();
  std::cout << *port << std::endl;  // the parent waits for this line
  server->Wait();
}

int RunMachine(const std::string& address, const std::string& keys) {
  Machine machine;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, keys.empty() ? grpc::InsecureServerCredentials() : MutualTls(keys), &port);
  builder.RegisterService(static_cast<v1::SystemService::Service*>(&machine));
  builder.RegisterService(static_cast<v1::LogService::Service*>(&machine));
  builder.RegisterService(static_cast<v1::ImageService::Service*>(&machine));
  Serve(builder, &port);
  return 0;
}

// --- the other way: a generic proxy as gRPC's callback API suggests it ---

class ProxyCall : public grpc::ServerGenericBidiReactor {
 public:
  ProxyCall(grpc::GenericCallbackServerContext* context, grpc::GenericStub& stub) : away_(*this), context_(context) {
    client_context_ = grpc::ClientContext::FromCallbackServerContext(*context);
    stub.PrepareBidiStreamingCall(client_context_.get(), context->method(), {}, &away_);
    away_.AddMultipleHolds(2);  // one for each direction that may still start something
    away_.StartRead(&response_);
    away_.StartCall();
    StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    if (ok) return away_.StartWrite(&request_);
    away_.StartWritesDone();
    away_.RemoveHold();
  }
  void OnWriteDone(bool ok) override {
    if (ok) return away_.StartRead(&response_);
    away_.RemoveHold();
  }
  void OnCancel() override { client_context_->TryCancel(); }
  void OnDone() override { delete this; }

 private:
  class Away : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
   public:
    explicit Away(ProxyCall& call) : call_(call) {}
    void OnReadDone(bool ok) override {
      if (ok) return call_.StartWrite(&call_.response_);
      RemoveHold();
    }
    void OnWriteDone(bool ok) override {
      if (ok) return call_.StartRead(&call_.request_);
      RemoveHold();
    }
    void OnDone(const grpc::Status& status) override { call_.Finish(status); }

   private:
    ProxyCall& call_;
  };
  Away away_;
  grpc::GenericCallbackServerContext* context_;
  std::unique_ptr<grpc::ClientContext> client_context_;
  grpc::ByteBuffer request_, response_;
};

class Proxy : public grpc::CallbackGenericService {
 public:
  explicit Proxy(const std::string& socket)
      : stub_(grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials())) {}
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    return new ProxyCall(context, stub_);
  }

 private:
  grpc::GenericStub stub_;
};

int RunProxy(const std::string& socket, const std::string& keys) {
  Proxy proxy(socket);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", MutualTls(keys), &port);
  builder.RegisterCallbackGenericService(&proxy);
  Serve(builder, &port);
  return 0;
}

// --- the client ---

double Seconds(steady_clock::time_point since) {
  return std::chrono::duration<double>(steady_clock::now() - since).count();
}

[[noreturn]] void Fail(const grpc::Status& status) {
  std::cerr << "apid_bench: " << status.error_message() << "\n";
  std::exit(1);
}

double UnaryPerSecond(const std::shared_ptr<grpc::Channel>& channel, int threads) {
  std::atomic<int> calls{0};
  std::vector<std::thread> all;
  auto began = steady_clock::now();
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&] {
      auto stub = v1::SystemService::NewStub(channel);
      v1::VersionResponse answer;
      while (Seconds(began) < kUnarySeconds) {
        grpc::ClientContext context;
        grpc::Status status = stub->Version(&context, {}, &answer);
        if (!status.ok()) Fail(status);
        ++calls;
      }
    });
  }
  for (auto& thread : all) thread.join();
  return calls / Seconds(began);
}

double StreamMegabytesPerSecond(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  v1::ReadLogRequest request;
  request.set_service("x");
  auto began = steady_clock::now();
  auto reader = v1::LogService::NewStub(channel)->ReadLog(&context, request);
  v1::ReadLogResponse chunk;
  uint64_t bytes = 0;
  while (reader->Read(&chunk)) bytes += chunk.data().size();
  grpc::Status status = reader->Finish();
  if (!status.ok() || bytes != kStreamBytes) Fail(status);
  return static_cast<double>(bytes) / 1e6 / Seconds(began);
}

double UploadMegabytesPerSecond(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  v1::ImportImageResponse answer;
  auto began = steady_clock::now();
  auto writer = v1::ImageService::NewStub(channel)->ImportImage(&context, &answer);
  v1::ImportImageRequest chunk;
  chunk.set_chunk(std::string(256 * 1024, 'x'));
  for (uint64_t sent = 0; sent < kUploadBytes && writer->Write(chunk); sent += chunk.chunk().size()) {
  }
  writer->WritesDone();
  grpc::Status status = writer->Finish();
  if (!status.ok() || answer.bytes() != kUploadBytes) Fail(status);
  return static_cast<double>(kUploadBytes) / 1e6 / Seconds(began);
}

// --- all together ---

struct Child {
  pid_t pid = -1;
  int port = 0;
};

Child Spawn(std::vector<std::string> arguments) {
  int out[2];
  if (::pipe2(out, O_CLOEXEC) != 0) std::abort();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  arguments.insert(arguments.begin(), "/proc/self/exe");
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  Child child;
  if (::posix_spawn(&child.pid, "/proc/self/exe", &actions, nullptr, argv.data(), environ) != 0) std::abort();
  ::close(out[1]);
  FILE* lines = ::fdopen(out[0], "r");
  if (std::fscanf(lines, "%d", &child.port) != 1) std::abort();
  std::fclose(lines);
  return child;
}

// User and system seconds so far.
double CpuSeconds(pid_t pid) {
  std::string text = ReadText(absl::StrCat("/proc/", pid, "/stat"));
  unsigned long user = 0, system = 0;
  std::sscanf(text.c_str() + text.rfind(')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
              &system);
  return static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// Kilobytes from smaps_rollup.
long Memory(pid_t pid, const char* what) {
  std::ifstream in(absl::StrCat("/proc/", pid, "/smaps_rollup"));
  for (std::string line; std::getline(in, line);) {
    if (absl::StartsWith(line, absl::StrCat(what, ":"))) return std::atol(line.c_str() + std::strlen(what) + 1);
  }
  return 0;
}

long PrivateMemory(pid_t pid) { return Memory(pid, "Private_Dirty"); }

class Json {
 public:
  void Add(const std::string& name, double value) { values_[name].push_back(value); }
  void Print() const {
    std::cout << "{";
    const char* comma = "\n";
    for (const auto& [name, values] : values_) {
      std::cout << comma << " \"" << name << "\": [";
      for (size_t i = 0; i < values.size(); ++i) std::cout << (i > 0 ? ", " : "") << values[i];
      std::cout << "]";
      comma = ",\n";
    }
    std::cout << "\n}" << std::endl;
  }

 private:
  std::map<std::string, std::vector<double>> values_;
};

int Run(int rounds) {
  TestNode node;
  Child machine = Spawn({"machine", "unix:" + node.socket_path, ""});
  Child bare = Spawn({"machine", "127.0.0.1:0", node.directory});
  Child proxy = Spawn({"proxy", node.socket_path, node.directory});
  Json json;
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  json.Add("apid idle private kB", static_cast<double>(PrivateMemory(node.pid)));
  json.Add("apid idle PSS kB", static_cast<double>(Memory(node.pid, "Pss")));
  json.Add("proxy idle private kB", static_cast<double>(PrivateMemory(proxy.pid)));
  KeyPair admin = node.Admin();
  struct Variant {
    std::string name;
    int port;
    pid_t between;
  } variants[] = {{"bare", bare.port, -1}, {"apid", node.port, node.pid}, {"proxy", proxy.port, proxy.pid}};
  for (int round = 0; round < rounds; ++round) {
    for (const auto& variant : variants) {
      node.port = variant.port;
      auto channel = node.Channel(&admin);
      UnaryPerSecond(channel, 1);
      json.Add(variant.name + " unary/s", UnaryPerSecond(channel, 1));
      json.Add(absl::StrCat(variant.name, " unary/s of ", kThreads, " threads"), UnaryPerSecond(channel, kThreads));
      double before = variant.between > 0 ? CpuSeconds(variant.between) : 0;
      json.Add(variant.name + " stream MB/s", StreamMegabytesPerSecond(channel));
      if (variant.between > 0) {
        json.Add(variant.name + " CPU s per GB", (CpuSeconds(variant.between) - before) * 1e9 / kStreamBytes);
        json.Add(variant.name + " loaded private kB", static_cast<double>(PrivateMemory(variant.between)));
      }
      json.Add(variant.name + " upload MB/s", UploadMegabytesPerSecond(channel));
    }
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  json.Add("apid idle private kB", static_cast<double>(PrivateMemory(node.pid)));
  for (const auto& child : {machine, bare, proxy}) {
    ::kill(child.pid, SIGKILL);
    ::waitpid(child.pid, nullptr, 0);
  }
  json.Print();
  return 0;
}

}  // namespace
}  // namespace stele

int main(int argc, char** argv) {
  std::string role = argc > 1 ? argv[1] : "5";
  if (role == "machine") return stele::RunMachine(argv[2], argv[3]);
  if (role == "proxy") return stele::RunProxy(argv[2], argv[3]);
  return stele::Run(std::max(1, std::atoi(role.c_str())));
}
