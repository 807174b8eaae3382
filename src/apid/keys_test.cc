#include "apid/keys.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "absl/strings/str_split.h"
#include "apid/node_for_test.h"

namespace stele {
namespace {

constexpr char kMethod[] = "/stele.machine.v1.SystemService/Version";

// What the call ends with when it came through to machined.
constexpr grpc::StatusCode kThrough = grpc::StatusCode::ABORTED;

std::string PemOf(EVP_PKEY* key, const EVP_CIPHER* cipher) {
  std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
  char word[] = "secret";
  int size = cipher == nullptr ? 0 : 6;
  PEM_write_bio_PrivateKey(out.get(), key, cipher, reinterpret_cast<unsigned char*>(size == 0 ? nullptr : word), size,
                           nullptr, nullptr);
  char* text = nullptr;
  long length = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<size_t>(length)};
}

class KeysTest : public testing::Test {
 protected:
  grpc::StatusCode Call(const std::shared_ptr<grpc::Channel>& channel) {
    return CallOnce(channel, kMethod).error_code();
  }
  void ExpectServed() { ASSERT_TRUE(node_.LogShows("apid: serving")) << node_.Log(); }

  TestNode node_{{.keys = false}};
  EchoMachined machined_{node_.socket_path};
};

TEST_F(KeysTest, AreWaitedForAndWhoWaitedIsServed) {
  ASSERT_TRUE(node_.LogShows("waits for its keys")) << node_.Log();
  KeyPair admin = node_.Admin();
  // Connected before there are keys: nothing is said to it, nor is it sent away.
  grpc::Status early = CallOnce(node_.Channel(&admin), kMethod, {}, std::chrono::milliseconds(300));
  EXPECT_EQ(early.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << early.error_message();
  std::thread later([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    node_.WriteKeys();
  });
  grpc::Status status = CallOnce(node_.Channel(&admin), kMethod, {}, std::chrono::seconds(10), /*wait_for_ready=*/true);
  later.join();
  EXPECT_EQ(status.error_code(), kThrough) << status.error_message() << node_.Log();
}

TEST_F(KeysTest, WhileTheyAreWaitedForApidCanBeStopped) {
  ASSERT_TRUE(node_.LogShows("waits for its keys")) << node_.Log();
  EXPECT_EQ(node_.Stop(), 0);
}

TEST(KeysFolderTest, ThatIsNotThereIsNamed) {
  TestNode node({.folder = "/nonexistent"});
  int status = node.Wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1);
  EXPECT_TRUE(node.LogShows("watch the folder of keys /nonexistent: No such file or directory")) << node.Log();
}

TEST_F(KeysTest, ANewCertificateEndsNoConnection) {
  node_.WriteKeys();
  KeyPair admin = node_.Admin();
  auto before = node_.Channel(&admin);
  ASSERT_EQ(Call(before), kThrough);
  node_.server_ca = MakeCa("the next server ca");
  node_.WriteKeys();
  ASSERT_TRUE(node_.LogShows("apid: new keys")) << node_.Log();
  EXPECT_EQ(Call(before), kThrough) << "the connection is still there";
  EXPECT_EQ(Call(node_.Channel(&admin)), kThrough) << "who comes now trusts the new one";
}

TEST_F(KeysTest, AChainThatIsMendedIsServed) {
  KeyPair middle =
      MakeKeyPair({.common_name = "middle", .organizations = {}, .usage = "", .is_ca = true}, &node_.server_ca);
  KeyPair leaf = MakeKeyPair(
      {.common_name = "node", .organizations = {}, .usage = "serverAuth", .alternative_names = "IP:127.0.0.1"},
      &middle);
  KeyPair admin = node_.Admin();
  node_.WriteKeys();
  ExpectServed();
  node_.Write("tls.pem", leaf.CertificatePem() + leaf.KeyPem());
  ASSERT_TRUE(node_.LogShows("apid: new keys")) << node_.Log();
  EXPECT_EQ(Call(node_.Channel(&admin)), grpc::StatusCode::UNAVAILABLE) << "nobody knows who signed it";
  node_.Write("tls.pem", leaf.CertificatePem() + middle.CertificatePem() + leaf.KeyPem());
  EXPECT_EQ(CallOnce(node_.Channel(&admin), kMethod, {}, std::chrono::seconds(10), true).error_code(), kThrough);
}

TEST_F(KeysTest, AClientCaThatIsGoneEndsItsClientsConnectionsOnly) {
  node_.WriteKeys();
  KeyPair admin = node_.Admin();
  auto before = node_.Channel(&admin);
  ASSERT_EQ(Call(before), kThrough);
  KeyPair next = MakeCa("the next client ca");
  node_.Write("client-ca.crt", "both\n" + next.CertificatePem() + node_.client_ca.CertificatePem());
  ASSERT_TRUE(node_.LogShows("apid: new keys")) << node_.Log();
  EXPECT_EQ(Call(before), kThrough) << "a further one takes nothing away";
  KeyPair newcomer = MakeKeyPair({}, &next);
  auto stays = node_.Channel(&newcomer);
  std::string seen = CallOnce(stays, kMethod).error_message();  // names the client's port
  node_.Write("client-ca.crt", next.CertificatePem());
  ASSERT_TRUE(node_.LogShows("a client CA is gone")) << node_.Log();
  EXPECT_EQ(Call(before), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(CallOnce(stays, kMethod).error_message(), seen) << "on the very connection";
}

TEST_F(KeysTest, WhatCannotBeUsedIsNamedAndThoseBeforeStay) {
  node_.WriteKeys();
  ExpectServed();
  KeyPair admin = node_.Admin(), server = node_.Server(), other = node_.Server();
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> rsa(EVP_RSA_gen(2048), &EVP_PKEY_free);
  std::string damaged = other.CertificatePem();
  damaged[damaged.size() / 2] = '!';
  struct Case {
    const char* file;
    std::string text;
    const char* told;
  } cases[] = {
      {"tls.pem", "no PEM at all", "there is no certificate in tls.pem"},
      {"tls.pem", server.CertificatePem(), "read the key of tls.pem"},
      {"tls.pem", server.CertificatePem() + other.KeyPem(), "use the key of tls.pem"},
      {"tls.pem", server.CertificatePem() + PemOf(rsa.get(), nullptr), "the key of tls.pem is not its certificate's"},
      {"tls.pem", other.CertificatePem() + PemOf(other.key.get(), EVP_aes_256_cbc()), "read the key of tls.pem"},
      {"tls.pem", server.CertificatePem() + damaged + server.KeyPem(), "read certificate 2 of tls.pem"},
      {"client-ca.crt", admin.KeyPem(), "there is no certificate in client-ca.crt"},
      {"client-ca.crt", node_.client_ca.CertificatePem() + damaged, "read certificate 2 of client-ca.crt"},
  };
  for (const Case& c : cases) {
    size_t told = node_.Log().size();
    node_.Write(c.file, c.text);
    EXPECT_TRUE(node_.LogShows(c.told)) << c.told << "\n" << node_.Log().substr(told);
    EXPECT_EQ(Call(node_.Channel(&admin)), kThrough) << c.told;
    node_.WriteKeys();
  }
  EXPECT_TRUE(node_.Alive());
  std::string log = node_.Log();
  for (const std::string& key : {other.KeyPem(), server.KeyPem(), admin.KeyPem()}) {
    for (absl::string_view line : absl::StrSplit(key, '\n', absl::SkipEmpty())) {
      EXPECT_FALSE(absl::StrContains(log, line)) << "a line of a key in the log";
    }
  }
}

TEST_F(KeysTest, AClientCaThatIsGoneIsGoneWhateverElseIsWrong) {
  node_.WriteKeys();
  KeyPair admin = node_.Admin();
  auto before = node_.Channel(&admin);
  ASSERT_EQ(Call(before), kThrough);
  KeyPair next = MakeCa("the next client ca");
  node_.Write("tls.pem", "no certificate");
  node_.Write("client-ca.crt", next.CertificatePem());
  ASSERT_TRUE(node_.LogShows("a client CA is gone")) << node_.Log();
  EXPECT_EQ(Call(before), grpc::StatusCode::UNAVAILABLE);
  KeyPair newcomer = MakeKeyPair({}, &next);
  EXPECT_EQ(Call(node_.Channel(&newcomer)), kThrough) << "by the certificate of before";
}

}  // namespace
}  // namespace stele
