// What osctl is measured against: a node's API without a node behind it, and a bare gRPC client that
// does one thing and knows nothing. Used by bench_osctl.py.
//
//   osctl_bench server KEYS NAME LOG_BYTES [HOST]   prints its port; serves until stdin ends
//   osctl_bench version|log KEYS ADDRESS            calls once; log writes the data to stdout
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "base/file.h"
#include "stele/machine/v1/log_service.grpc.pb.h"
#include "stele/machine/v1/system_service.grpc.pb.h"

namespace stele {
namespace {

namespace v1 = stele::machine::v1;

std::string Text(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) std::cerr << "osctl_bench: cannot read " << path << "\n";
  return text.str();
}

// Lines of 100 bytes, in chunks as machined sends them.
std::string Chunk() {
  std::string chunk;
  while (chunk.size() < 64 * 1024) chunk += std::string(99, 'x') + "\n";
  return chunk;
}

class Machine : public v1::SystemService::Service, public v1::LogService::Service {
 public:
  explicit Machine(uint64_t log_bytes) : log_bytes_(log_bytes) {}

 private:
  grpc::Status Version(grpc::ServerContext*, const v1::VersionRequest*, v1::VersionResponse* out) override {
    out->set_stele("0.1.0");
    out->set_kernel("6.12.0");
    out->set_hostname("node");
    return grpc::Status::OK;
  }
  grpc::Status ReadLog(grpc::ServerContext*, const v1::ReadLogRequest*,
                       grpc::ServerWriter<v1::ReadLogResponse>* writer) override {
    v1::ReadLogResponse chunk;
    chunk.set_data(Chunk());
    uint64_t sent = 0;
    while (sent < log_bytes_) {
      sent += chunk.data().size();
      chunk.set_cursor(std::to_string(sent));
      if (!writer->Write(chunk)) break;
    }
    return grpc::Status::OK;
  }

  uint64_t log_bytes_;
};

int Serve(const std::string& keys, const std::string& name, uint64_t log_bytes, const std::string& host) {
  Machine machine(log_bytes);
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = Text(keys + "/client-ca.crt");
  options.pem_key_cert_pairs.push_back({Text(keys + "/" + name + ".key"), Text(keys + "/" + name + ".crt")});
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(host + ":0", grpc::SslServerCredentials(options), &port);
  builder.RegisterService(static_cast<v1::SystemService::Service*>(&machine));
  builder.RegisterService(static_cast<v1::LogService::Service*>(&machine));
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::cout << port << std::endl;
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  server->Shutdown(std::chrono::system_clock::now());
  return 0;
}

int CallOnce(const std::string& what, const std::string& keys, const std::string& address) {
  grpc::SslCredentialsOptions options{Text(keys + "/server-ca.crt"), Text(keys + "/admin.key"),
                                      Text(keys + "/admin.crt")};
  auto channel = grpc::CreateChannel("ipv4:" + address, grpc::SslCredentials(options));
  grpc::ClientContext context;
  grpc::Status status;
  if (what == "version") {
    v1::VersionResponse response;
    status = v1::SystemService::NewStub(channel)->Version(&context, {}, &response);
    std::cout << response.ShortDebugString() << std::endl;
  } else {
    v1::ReadLogResponse chunk;
    auto reader = v1::LogService::NewStub(channel)->ReadLog(&context, {});
    while (reader->Read(&chunk)) {
      if (!WriteAll(STDOUT_FILENO, chunk.data()).ok()) return 1;
    }
    status = reader->Finish();
  }
  if (!status.ok()) std::cerr << status.error_message() << "\n";
  _exit(status.ok() ? 0 : 1);  // as osctl does: gRPC's shutdown is not what is measured
}

}  // namespace
}  // namespace stele

int main(int argc, char** argv) {
  std::string role = argc > 1 ? argv[1] : "";
  if (role == "server" && (argc == 5 || argc == 6)) {
    return stele::Serve(argv[2], argv[3], std::stoull(argv[4]), argc == 6 ? argv[5] : "127.0.0.1");
  }
  if ((role == "version" || role == "log") && argc == 4) return stele::CallOnce(role, argv[2], argv[3]);
  std::cerr << "usage: see the top of osctl_bench.cc\n";
  return 2;
}
