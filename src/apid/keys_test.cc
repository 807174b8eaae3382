#include "apid/keys.h"

#include <gtest/gtest.h>

#include "apid/node_for_test.h"

namespace stele {
namespace {

constexpr char kMethod[] = "/stele.machine.v1.SystemService/Version";

// What the call ends with when it came through to machined.
constexpr grpc::StatusCode kThrough = grpc::StatusCode::ABORTED;

TEST(KeysTest, ApidWaitsForThemAndServesWhoWaitedToo) {
  TestNode node({.keys = false});
  EchoMachined machined(node.socket_path);
  ASSERT_TRUE(node.LogShows("waits for its keys")) << node.Log();
  KeyPair admin = node.Admin();
  // Connected before there are keys: nothing is said to it, nor is it sent away.
  grpc::Status early = CallOnce(node.Channel(&admin), kMethod, {}, std::chrono::milliseconds(300));
  EXPECT_EQ(early.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << early.error_message();
  std::thread later([&node] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    node.WriteKeys();
  });
  grpc::Status status = CallOnce(node.Channel(&admin), kMethod, {}, std::chrono::seconds(10), /*wait_for_ready=*/true);
  later.join();
  EXPECT_EQ(status.error_code(), kThrough) << status.error_message() << node.Log();
}

TEST(KeysTest, ANewCertificateEndsNoConnection) {
  TestNode node;
  EchoMachined machined(node.socket_path);
  KeyPair admin = node.Admin();
  auto before = node.Channel(&admin);
  ASSERT_EQ(CallOnce(before, kMethod).error_code(), kThrough);
  node.server_ca = MakeCa("the next server ca");
  node.WriteKeys();
  ASSERT_TRUE(node.LogShows("a new certificate")) << node.Log();
  EXPECT_EQ(CallOnce(before, kMethod).error_code(), kThrough) << "the connection is still there";
  EXPECT_EQ(CallOnce(node.Channel(&admin), kMethod).error_code(), kThrough) << "who comes now trusts the new one";
}

TEST(KeysTest, ANewClientCaEndsTheConnectionsOfTheOneBefore) {
  TestNode node;
  EchoMachined machined(node.socket_path);
  KeyPair admin = node.Admin();
  auto before = node.Channel(&admin);
  ASSERT_EQ(CallOnce(before, kMethod).error_code(), kThrough);
  node.client_ca = MakeCa("the next client ca");
  node.Write("client-ca.crt", node.client_ca.CertificatePem());
  ASSERT_TRUE(node.LogShows("a new client CA")) << node.Log();
  EXPECT_EQ(CallOnce(before, kMethod).error_code(), grpc::StatusCode::UNAVAILABLE);
  KeyPair next = node.Admin();
  EXPECT_EQ(CallOnce(node.Channel(&next), kMethod).error_code(), kThrough);
}

TEST(KeysTest, WhatCannotBeUsedIsNamedAndThoseBeforeStay) {
  TestNode node;
  EchoMachined machined(node.socket_path);
  ASSERT_TRUE(node.LogShows("serving")) << node.Log();
  KeyPair admin = node.Admin(), other = node.Admin();
  struct Case {
    const char* file;
    std::string text;
    const char* told;
  } cases[] = {
      {"tls.pem", "no PEM at all", "no certificate in tls.pem"},
      {"tls.pem", admin.CertificatePem(), "read the key of tls.pem"},
      {"tls.pem", admin.CertificatePem() + other.KeyPem(), "use the key of tls.pem"},
      {"client-ca.crt", admin.KeyPem(), "no certificate in client-ca.crt"},
  };
  for (const Case& c : cases) {
    node.Write(c.file, c.text);
    EXPECT_TRUE(node.LogShows(c.told)) << c.told << "\n" << node.Log();
    EXPECT_EQ(CallOnce(node.Channel(&admin), kMethod).error_code(), kThrough) << c.told;
    node.WriteKeys();
  }
  EXPECT_FALSE(absl::StrContains(node.Log(), "PRIVATE")) << "no key in a log";
}

}  // namespace
}  // namespace stele
