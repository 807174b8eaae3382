// Every method of the API × every kind of client: decided as the protos say. What should happen is
// computed here from the protos' descriptors, not from the table that apid was built with.
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "apid/node_for_test.h"
#include "base/narrow_roles.h"
#include "stele/machine/v1/config_service.grpc.pb.h"
#include "stele/machine/v1/container_service.grpc.pb.h"
#include "stele/machine/v1/event_service.grpc.pb.h"
#include "stele/machine/v1/file_service.grpc.pb.h"
#include "stele/machine/v1/image_service.grpc.pb.h"
#include "stele/machine/v1/install_service.grpc.pb.h"
#include "stele/machine/v1/log_service.grpc.pb.h"
#include "stele/machine/v1/metrics_service.grpc.pb.h"
#include "stele/machine/v1/network_service.grpc.pb.h"
#include "stele/machine/v1/options.pb.h"
#include "stele/machine/v1/resource_service.grpc.pb.h"
#include "stele/machine/v1/security_service.grpc.pb.h"
#include "stele/machine/v1/service_service.grpc.pb.h"
#include "stele/machine/v1/system_service.grpc.pb.h"
#include "stele/machine/v1/upgrade_service.grpc.pb.h"
#include "stele/method_table.h"

namespace stele {
namespace {

namespace v1 = stele::machine::v1;

// Path to least role, as the descriptors compiled into this test have it.
std::map<std::string, v1::Role> MethodsOfTheProtos() {
  // Every file of the package, named once, so that its descriptors are linked.
  const google::protobuf::FileDescriptor* files[] = {
      v1::ApplyConfigRequest::descriptor()->file(),
      v1::StreamEventsRequest::descriptor()->file(),
      v1::ImportImageRequest::descriptor()->file(),
      v1::ReadLogRequest::descriptor()->file(),
      v1::GetRequest::descriptor()->file(),
      v1::StartServiceRequest::descriptor()->file(),
      v1::VersionRequest::descriptor()->file(),
      v1::InstallRequest::descriptor()->file(),
      v1::StageImageRequest::descriptor()->file(),
      v1::ListFilesRequest::descriptor()->file(),
      v1::PingRequest::descriptor()->file(),
      v1::GetMetricsRequest::descriptor()->file(),
      v1::RestartContainerRequest::descriptor()->file(),
      v1::RevokeCertificateRequest::descriptor()->file(),
  };
  std::map<std::string, v1::Role> methods = {
      {"/grpc.health.v1.Health/Check", v1::ROLE_READER},
      {"/grpc.health.v1.Health/Watch", v1::ROLE_READER},
      {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", v1::ROLE_READER},
  };
  for (const auto* file : files) {
    for (int i = 0; i < file->service_count(); ++i) {
      const auto* service = file->service(i);
      for (int j = 0; j < service->method_count(); ++j) {
        const auto* method = service->method(j);
        methods["/" + service->full_name() + "/" + method->name()] = method->options().GetExtension(v1::role);
      }
    }
  }
  return methods;
}

class RolesTest : public testing::Test {
 protected:
  // What forged identity looks like on the wire.
  static ClientMetadata Forged() {
    return {{"stele-role", "admin"}, {"stele-subject", "root"}, {"stele-peer", "10.0.0.1:1"}, {"stele-x", "y"}};
  }

  // A client with a good certificate of `role`: allowed exactly where the protos allow it.
  void ExpectTable(const std::string& role_name, v1::Role role) {
    KeyPair client = node_.Client({.common_name = "some " + role_name, .organizations = {role_name}});
    auto channel = node_.Channel(&client);
    for (const auto& [path, least] : methods_) {
      for (const auto& metadata : {ClientMetadata{}, Forged()}) {
        SCOPED_TRACE(absl::StrCat(role_name, " ", path));
        int before = machined_.calls();
        grpc::Status status = CallOnce(channel, path, metadata);
        if (role >= least) {
          EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED) << status.error_message();
          EXPECT_EQ(machined_.calls(), before + 1);
          // machined sees who it is from the certificate alone: three keys, once each.
          std::string text = status.error_message();
          EXPECT_TRUE(absl::StrContains(text, absl::StrCat("stele-role=", role_name))) << text;
          EXPECT_TRUE(absl::StrContains(text, absl::StrCat("stele-subject=some ", role_name))) << text;
          EXPECT_TRUE(absl::StrContains(text, "stele-peer=127.0.0.1:")) << text;
          EXPECT_FALSE(absl::StrContains(text, "root")) << text;
          EXPECT_FALSE(absl::StrContains(text, "stele-x")) << text;
          EXPECT_FALSE(absl::StrContains(text, "10.0.0.1")) << text;
        } else {
          EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << status.error_message();
          std::string needed = v1::Role_Name(least).substr(5);
          for (char& c : needed) c = static_cast<char>(std::tolower(c));
          EXPECT_TRUE(absl::StrContains(status.error_message(), "needs the role " + needed)) << status.error_message();
          EXPECT_EQ(machined_.calls(), before) << "a refused call must not reach machined";
        }
      }
    }
  }

  // A client of a narrow role: through to machined, with these resources, exactly where `allowed` says so.
  void ExpectNarrow(const std::string& role_name, const std::string& resources,
                    const std::function<bool(const std::string& path)>& allowed) {
    KeyPair client = node_.Client({.common_name = "some " + role_name, .organizations = {role_name}});
    auto channel = node_.Channel(&client);
    ClientMetadata forged = Forged();
    forged.emplace_back("stele-resources", "*,secrets");
    int through = 0;
    for (const auto& [path, least] : methods_) {
      for (const auto& metadata : {ClientMetadata{}, forged}) {
        SCOPED_TRACE(absl::StrCat(role_name, " ", path));
        int before = machined_.calls();
        grpc::Status status = CallOnce(channel, path, metadata);
        std::string text = status.error_message();
        if (allowed(path)) {
          ++through;
          EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED) << text;
          EXPECT_TRUE(absl::StrContains(text, absl::StrCat("stele-role=", role_name))) << text;
          EXPECT_TRUE(absl::StrContains(text, absl::StrCat("stele-resources=", resources))) << text;
          EXPECT_FALSE(absl::StrContains(text, "root") || absl::StrContains(text, "secrets")) << text;
        } else {
          EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << text;
          EXPECT_EQ(machined_.calls(), before) << "a refused call must not reach machined";
        }
      }
    }
    EXPECT_GT(through, 0);
  }

  // A client that must not get anywhere, whatever it calls.
  void ExpectNothing(const KeyPair* client, grpc::StatusCode code) {
    int before = machined_.calls();
    for (const auto& [path, least] : methods_) {
      SCOPED_TRACE(path);
      auto channel = node_.Channel(client);
      grpc::Status status = CallOnce(channel, path, Forged());
      EXPECT_EQ(status.error_code(), code) << status.error_message();
    }
    EXPECT_EQ(machined_.calls(), before);
    // apid is there all the time, and lets the right one in.
    KeyPair admin = node_.Admin();
    EXPECT_EQ(CallOnce(node_.Channel(&admin), "/grpc.health.v1.Health/Check").error_code(), grpc::StatusCode::ABORTED);
  }

  TestNode node_;
  EchoMachined machined_{node_.socket_path};
  std::map<std::string, v1::Role> methods_ = MethodsOfTheProtos();
};

TEST_F(RolesTest, TheTableNamesExactlyTheMethodsOfTheProtos) {
  std::map<std::string, int> table;
  for (const Method& method : kMethods) table[std::string(method.path)] = static_cast<int>(method.role);
  std::map<std::string, int> protos;
  for (const auto& [path, role] : methods_) protos[path] = role;
  EXPECT_EQ(table, protos);
  EXPECT_GE(protos.size(), 18u);
}

TEST_F(RolesTest, Reader) { ExpectTable("reader", v1::ROLE_READER); }
TEST_F(RolesTest, Operator) { ExpectTable("operator", v1::ROLE_OPERATOR); }
TEST_F(RolesTest, Admin) { ExpectTable("admin", v1::ROLE_ADMIN); }

// Written out here, and not taken from the table that apid has.
TEST_F(RolesTest, Updater) {
  ExpectNarrow("updater", "boots,phases,services,slots,types,upgrades", [](const std::string& path) {
    return absl::StrContains(path, ".UpgradeService/") || absl::StrContains(path, ".ResourceService/") ||
           absl::StrContains(path, ".Health/") || path == "/stele.machine.v1.SystemService/Version" ||
           path == "/stele.machine.v1.EventService/StreamEvents";
  });
}

TEST_F(RolesTest, Backup) {
  ExpectNarrow("backup", "*", [](const std::string& path) {
    return absl::StrContains(path, ".FileService/") || absl::StrContains(path, ".ResourceService/") ||
           absl::StrContains(path, ".Health/") || path == "/stele.machine.v1.SystemService/Version" ||
           path == "/stele.machine.v1.EventService/StreamEvents" || path == "/stele.machine.v1.LogService/ReadLog" ||
           path == "/stele.machine.v1.ConfigService/GetConfig" ||
           path == "/stele.machine.v1.ConfigService/ConfigHistory";
  });
}

TEST_F(RolesTest, OnesOfTheConfiguration) {
  node_.Write("roles",
              "rebooter methods=SystemService.Reboot,LogService.* resources=\n"
              "broken methods=*,SystemService,Service.*,.Reboot,SystemService.*.* resources=*\n"
              "admin methods=SystemService.Version resources=\n"
              "updater methods=SystemService.Reboot resources=*\n"
              "no line of ours at all\n");
  ASSERT_TRUE(node_.LogShows("apid: new roles")) << node_.Log();
  ExpectNarrow("rebooter", "", [](const std::string& path) {
    return absl::StrContains(path, ".LogService/") || path == "/stele.machine.v1.SystemService/Reboot";
  });
  KeyPair broken = node_.Client({.organizations = {"broken"}});
  ExpectNothing(&broken, grpc::StatusCode::PERMISSION_DENIED);
  // The roles of every node are as they were.
  ExpectTable("admin", v1::ROLE_ADMIN);
  KeyPair updater = node_.Client({.organizations = {"updater"}});
  EXPECT_EQ(CallOnce(node_.Channel(&updater), "/stele.machine.v1.SystemService/Reboot").error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(RolesTest, TwoRolesOfWhichOneIsNarrow) {
  node_.Write("roles", "rebooter methods=SystemService.Reboot resources=\n");
  ASSERT_TRUE(node_.LogShows("apid: new roles")) << node_.Log();
  KeyPair client = node_.Client({.organizations = {"rebooter", "admin"}});
  ExpectNothing(&client, grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(RolesTest, ARoleThatChangesEndsItsClientsConnectionsOnly) {
  constexpr char kReboot[] = "/stele.machine.v1.SystemService/Reboot";
  node_.Write("roles", "one methods=SystemService.Reboot resources=\ntwo methods=SystemService.Reboot resources=\n");
  ASSERT_TRUE(node_.LogShows("apid: new roles")) << node_.Log();
  KeyPair one = node_.Client({.organizations = {"one"}}), two = node_.Client({.organizations = {"two"}});
  KeyPair admin = node_.Admin();
  auto of_one = node_.Channel(&one), of_two = node_.Channel(&two), of_admin = node_.Channel(&admin);
  std::string one_before = CallOnce(of_one, kReboot).error_message();  // names the client's port
  std::string two_before = CallOnce(of_two, kReboot).error_message();
  std::string admin_before = CallOnce(of_admin, kReboot).error_message();
  node_.Write("roles", "two methods=SystemService.Reboot resources=\none methods=SystemService.Version resources=\n");
  for (int i = 0; i < 100 && CallOnce(of_one, kReboot).error_code() != grpc::StatusCode::PERMISSION_DENIED; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(CallOnce(of_one, kReboot, {}, std::chrono::seconds(10), true).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  std::string one_after =
      CallOnce(of_one, "/stele.machine.v1.SystemService/Version", {}, std::chrono::seconds(10), true).error_message();
  EXPECT_TRUE(absl::StrContains(one_after, "stele-role=one")) << one_after;
  EXPECT_NE(one_after, one_before);
  EXPECT_EQ(CallOnce(of_two, kReboot).error_message(), two_before);
  EXPECT_EQ(CallOnce(of_admin, kReboot).error_message(), admin_before);
}

TEST(MethodFits, OneMethodOrAllOfAService) {
  EXPECT_TRUE(MethodFits("LogService.ReadLog", "/stele.machine.v1.LogService/ReadLog"));
  EXPECT_TRUE(MethodFits("LogService.*", "/stele.machine.v1.LogService/ReadLog"));
  for (const char* pattern : {"", ".", "*", "*.*", ".*", "LogService", "LogService.", "LogService.Read", "Service.*",
                              "v1.LogService.*", "LogService.ReadLog ", "logservice.*", "LogService.*.*"}) {
    EXPECT_FALSE(MethodFits(pattern, "/stele.machine.v1.LogService/ReadLog")) << pattern;
  }
  EXPECT_FALSE(MethodFits("LogService.*", "no path"));
}

TEST_F(RolesTest, NoCertificate) { ExpectNothing(nullptr, grpc::StatusCode::UNAVAILABLE); }

TEST_F(RolesTest, UnknownCa) {
  KeyPair other = MakeCa("client ca");  // the same name, another key
  KeyPair client = MakeKeyPair({}, &other);
  ExpectNothing(&client, grpc::StatusCode::UNAVAILABLE);
}

TEST_F(RolesTest, ServerCaIsNoClientCa) {
  KeyPair client = MakeKeyPair({}, &node_.server_ca);
  ExpectNothing(&client, grpc::StatusCode::UNAVAILABLE);
}

TEST_F(RolesTest, SelfSigned) {
  KeyPair client = MakeKeyPair({}, nullptr);
  ExpectNothing(&client, grpc::StatusCode::UNAVAILABLE);
}

TEST_F(RolesTest, Expired) {
  KeyPair client = node_.Client({.begins_s = -7200, .ends_s = -60});
  ExpectNothing(&client, grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(node_.LogShows("certificate has expired"));
}

TEST_F(RolesTest, NotYetValid) {
  KeyPair client = node_.Client({.begins_s = 3600, .ends_s = 7200});
  ExpectNothing(&client, grpc::StatusCode::UNAVAILABLE);
}

TEST_F(RolesTest, WrongUsage) {
  for (const char* usage : {"serverAuth", "clientAuth,serverAuth", "codeSigning", "anyExtendedKeyUsage", ""}) {
    SCOPED_TRACE(usage);
    KeyPair client = node_.Client({.usage = usage});
    ExpectNothing(&client, grpc::StatusCode::UNAVAILABLE);
  }
  EXPECT_TRUE(node_.LogShows("decision=refuse"));
}

TEST_F(RolesTest, CaAsLeaf) {
  KeyPair client = node_.Client({.is_ca = true});
  ExpectNothing(&client, grpc::StatusCode::UNAVAILABLE);
}

TEST_F(RolesTest, LeafAsCa) {
  KeyPair leaf = node_.Admin();
  KeyPair client = MakeKeyPair({}, &leaf);
  ExpectNothing(&client, grpc::StatusCode::UNAVAILABLE);
}

TEST_F(RolesTest, TwoRoles) {
  KeyPair client = node_.Client({.organizations = {"reader", "admin"}});
  ExpectNothing(&client, grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(RolesTest, UnknownRole) {
  for (const char* name : {"owner", "Admin", "admin ", "administrator", ""}) {
    SCOPED_TRACE(name);
    KeyPair client = node_.Client({.organizations = {name}});
    ExpectNothing(&client, grpc::StatusCode::PERMISSION_DENIED);
  }
}

TEST_F(RolesTest, NoOrganization) {
  KeyPair client = node_.Client({.organizations = {}});
  ExpectNothing(&client, grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(RolesTest, ARoleWithANulInIt) {
  KeyPair client = node_.Client({.organizations = {std::string("admin\0x", 7)}});
  ExpectNothing(&client, grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(RolesTest, ACertificateThatEndsWhileConnected) {
  KeyPair client = node_.Client({.ends_s = 2});
  auto channel = node_.Channel(&client);
  EXPECT_EQ(CallOnce(channel, "/grpc.health.v1.Health/Check").error_code(), grpc::StatusCode::ABORTED);
  std::this_thread::sleep_for(std::chrono::milliseconds(3100));
  EXPECT_EQ(CallOnce(channel, "/grpc.health.v1.Health/Check").error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(RolesTest, UnknownMethods) {
  KeyPair client = node_.Admin();
  auto channel = node_.Channel(&client);
  for (const char* path : {"/stele.machine.v1.SystemService/Nothing", "/x/y", "/grpc.channelz.v1.Channelz/GetServers",
                           "/stele.machine.v1.SystemService/Version/", "//stele.machine.v1.SystemService/Version",
                           "/stele.machine.v1.SystemService/version"}) {
    SCOPED_TRACE(path);
    EXPECT_EQ(CallOnce(channel, path).error_code(), grpc::StatusCode::UNIMPLEMENTED);
  }
  EXPECT_EQ(machined_.calls(), 0);
}

}  // namespace
}  // namespace stele
