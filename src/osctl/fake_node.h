// For tests: a node's API in this process, over real TLS on loopback with keys from pki.h, and a way
// to run osctl against it.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/file.h"
#include "osctl/context.h"
#include "osctl/fake_files.h"
#include "osctl/fake_network.h"
#include "osctl/fake_security.h"
#include "osctl/fake_services.h"
#include "osctl/fake_upgrade.h"
#include "osctl/keystore.h"
#include "osctl/pki.h"
#include "osctl/run.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::osctl {

// A directory that goes away with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    char name[] = "/tmp/osctl-test-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TemporaryDirectory() {
    std::string command = "rm -rf " + path_;
    EXPECT_EQ(::system(command.c_str()), 0);
  }
  const std::string& path() const { return path_; }
  std::string File(const std::string& name, absl::string_view text) const {
    std::string path = path_ + "/" + name;
    EXPECT_TRUE(ReplaceFile(path, text).ok());
    return path;
  }

 private:
  std::string path_;
};

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

inline std::string ReadAll(int fd) {
  std::string text(static_cast<size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  EXPECT_EQ(::pread(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return text;
}

// One run of osctl, in this process. `terminal`, when given, is its stdin; `err_terminal` its stderr,
// `out_terminal` its stdout.
inline Outcome RunOsctl(const std::vector<std::string>& words, const std::map<std::string, std::string>& environment,
                        int terminal = -1, int err_terminal = -1, int out_terminal = -1) {
  UniqueFd in(terminal >= 0 ? ::dup(terminal) : ::memfd_create("in", MFD_CLOEXEC));
  UniqueFd out(::memfd_create("out", MFD_CLOEXEC));
  UniqueFd err(::memfd_create("err", MFD_CLOEXEC));
  Console console(in.get(), out_terminal >= 0 ? out_terminal : out.get(), err_terminal >= 0 ? err_terminal : err.get());
  Getenv getenv = [&](const char* name) -> const char* {
    auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  };
  int code = static_cast<int>(Run(words, getenv, &console));
  return {code, ReadAll(out.get()), ReadAll(err.get())};
}

inline Validity ValidNow() { return {absl::Now() - absl::Hours(1), absl::Now() + absl::Hours(1)}; }

// Serves until it is destroyed. On port 0 it finds a free one; on host 0.0.0.0 it is a node at each address of
// 127.0.0.0/8.
class FakeNode {
 public:
  FakeNode(const KeyPair& server, const std::string& client_ca, int port = 0, const std::string& host = "127.0.0.1") {
    grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = client_ca;
    options.pem_key_cert_pairs.push_back({server.key, server.certificate});
    grpc::ServerBuilder builder;
    builder.AddListeningPort(absl::StrCat(host, ":", port), grpc::SslServerCredentials(options), &port_);
    for (grpc::Service* service :
         std::initializer_list<grpc::Service*>{&system_, &resources_, &services_, &logs_, &events_, &config_, &files_,
                                               &images_, &containers_, &upgrade_, &install_, &network_, &security_}) {
      builder.RegisterService(service);
    }
    server_ = builder.BuildAndStart();
  }
  ~FakeNode() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
  }

  int port() const { return port_; }
  FakeState& state() { return state_; }

 private:
  FakeState state_;
  FakeSystem system_{&state_};
  FakeResources resources_{&state_};
  FakeServices services_{&state_};
  FakeLogs logs_{&state_};
  FakeEvents events_{&state_};
  FakeConfig config_{&state_};
  FakeFiles files_{&state_};
  FakeImages images_{&state_};
  FakeContainers containers_{&state_};
  FakeUpgrade upgrade_{&state_};
  FakeInstall install_{&state_};
  FakeNetwork network_{&state_};
  FakeSecurity security_{&state_};
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// A node with keys made by `osctl gen node`, and its context.
class FakeNodeTest : public testing::Test {
 protected:
  void SetUp() override {
    Outcome made = Osctl({"gen", "node", "demo", "--san", "127.0.0.1", "--san", "localhost", "-o", keys()});
    ASSERT_EQ(made.code, 0) << made.err;
    node_ = StartNode();
    Point(node_->port());
  }

  std::string keys() const { return directory_.path() + "/keys"; }
  KeyStore store() const { return *KeyStore::Open(keys()); }
  std::string address() const { return absl::StrCat("127.0.0.1:", node_->port()); }

  std::unique_ptr<FakeNode> StartNode(int port = 0) {
    return std::make_unique<FakeNode>(*store().Load("demo"), *store().LoadCertificate("client-ca"), port);
  }

  // The context dials this port.
  void Point(int port) {
    auto contexts = *LoadContexts(keys() + "/osctl.yaml");
    contexts.mutable_contexts(0)->set_endpoints(0, absl::StrCat("127.0.0.1:", port));
    ASSERT_TRUE(SaveContexts(keys() + "/osctl.yaml", contexts).ok());
  }

  Outcome Osctl(const std::vector<std::string>& words) {
    return RunOsctl(words, {{"OSCTLCONFIG", keys() + "/osctl.yaml"}});
  }

  // Puts a resource with this body into the node.
  void Put(const std::string& type, const std::string& id, const google::protobuf::Message& body) {
    v1::Resource resource;
    resource.set_type(type);
    resource.set_id(id);
    resource.set_version(7);
    resource.set_owner("test");
    resource.mutable_body()->PackFrom(body);
    node_->state().resources[type][id] = resource;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<FakeNode> node_;
};

}  // namespace stele::osctl
