// A client nobody here wrote: Python's gRPC lists services over mTLS, by reflection alone.
#include <google/protobuf/any.pb.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>

#include "apid/node_for_test.h"
#include "stele/machine/v1/resource_service.grpc.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele {
namespace {

class Resources : public machine::v1::ResourceService::Service {
  grpc::Status List(grpc::ServerContext*, const machine::v1::ListRequest* request,
                    machine::v1::ListResponse* out) override {
    if (request->type() != "services") return {grpc::StatusCode::NOT_FOUND, "no such type"};
    resource::v1::Service service;
    service.set_state(resource::v1::SERVICE_STATE_RUNNING);
    service.set_pid(4711);
    auto* resource = out->add_resources();
    resource->set_type("services");
    resource->set_id("kubelet");
    resource->mutable_body()->PackFrom(service);
    return grpc::Status::OK;
  }
};

struct Output {
  int status;
  std::string text;
};

Output RunCommand(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string text;
  char buffer[4096];
  for (size_t got; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, got);
  return {::pclose(pipe), text};
}

TEST(PythonClientTest, ListsServicesByReflection) {
  if (RunCommand("/usr/bin/python3 -c 'import grpc, google.protobuf'").status != 0) {
    GTEST_SKIP() << "missing: python3-grpcio and python3-protobuf";
  }
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::EnableDefaultHealthCheckService(true);
  TestNode node;
  Resources resources;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + node.socket_path, grpc::InsecureServerCredentials());
  builder.RegisterService(&resources);
  auto server = builder.BuildAndStart();

  auto write = [&node](const std::string& name, const std::string& text) {
    std::ofstream out(node.directory + "/" + name);
    out << text;
    return node.directory + "/" + name;
  };
  KeyPair reader = node.Client({.organizations = {"reader"}});
  std::string command =
      absl::StrCat("/usr/bin/python3 tests/api/list_services.py --node 127.0.0.1:", node.port, " --ca ",
                   write("ca.pem", node.server_ca.CertificatePem()), " --cert ",
                   write("client.pem", reader.CertificatePem()), " --key ", write("client.key", reader.KeyPem()));
  Output output = RunCommand(command);
  EXPECT_EQ(output.status, 0);
  for (const char* expected :
       {"stele.machine.v1.ResourceService", "\"SERVING\"", "\"kubelet\"", "SERVICE_STATE_RUNNING", "4711"}) {
    EXPECT_TRUE(absl::StrContains(output.text, expected)) << expected << " in\n" << output.text;
  }
  // And without a role it is told so.
  KeyPair nobody = node.Client({.organizations = {"nobody"}});
  write("client.pem", nobody.CertificatePem());
  write("client.key", nobody.KeyPem());
  output = RunCommand(command);
  EXPECT_NE(output.status, 0);
  EXPECT_TRUE(absl::StrContains(output.text, "PERMISSION_DENIED")) << output.text;
  server->Shutdown(std::chrono::system_clock::now());
}

}  // namespace
}  // namespace stele
