// Keys, contexts, addresses, and what `osctl gen` writes.
#include <gmock/gmock.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "config/yaml_to_proto.h"
#include "osctl/client/address.h"
#include "osctl/failure.h"
#include "osctl/fake_node.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::osctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

X509* Parse(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  return certificate;
}

int Verify(const std::string& ca, const std::string& leaf, int purpose) {
  X509_STORE* store = X509_STORE_new();
  X509* authority = Parse(ca);
  X509* certificate = Parse(leaf);
  X509_STORE_add_cert(store, authority);
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, certificate, nullptr);
  X509_STORE_CTX_set_purpose(context, purpose);
  X509_verify_cert(context);
  int verdict = X509_STORE_CTX_get_error(context);
  X509_STORE_CTX_free(context);
  X509_free(certificate);
  X509_free(authority);
  X509_STORE_free(store);
  return verdict;
}

TEST(Pki, ClientsAreForClientsOnly) {
  auto ca = MakeAuthority("test CA", ValidNow());
  ASSERT_TRUE(ca.ok()) << ca.status();
  LeafRequest request;
  request.common_name = "alice";
  request.organization = "operator";
  request.validity = ValidNow();
  auto leaf = MakeLeaf(*ca, request);
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  EXPECT_EQ(Verify(ca->certificate, leaf->certificate, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
  EXPECT_EQ(Verify(ca->certificate, leaf->certificate, X509_PURPOSE_SSL_SERVER), X509_V_ERR_INVALID_PURPOSE);
  X509* certificate = Parse(leaf->certificate);
  EXPECT_EQ(X509_get_extended_key_usage(certificate), static_cast<uint32_t>(XKU_SSL_CLIENT));
  EXPECT_EQ(X509_get_key_usage(certificate), static_cast<uint32_t>(KU_DIGITAL_SIGNATURE));
  X509_free(certificate);
  auto info = ReadCertificate(leaf->certificate);
  EXPECT_EQ(info->common_name, "alice");
  EXPECT_EQ(info->organization, "operator");
  EXPECT_TRUE(CheckKeyPair(*leaf).ok());
  EXPECT_FALSE(CheckKeyPair({leaf->certificate, ca->key}).ok());
}

TEST(Pki, SerialsDiffer) {
  auto ca = MakeAuthority("test CA", ValidNow());
  LeafRequest request;
  request.validity = ValidNow();
  request.common_name = "a";
  X509* one = Parse(MakeLeaf(*ca, request)->certificate);
  X509* two = Parse(MakeLeaf(*ca, request)->certificate);
  EXPECT_NE(ASN1_INTEGER_cmp(X509_get0_serialNumber(one), X509_get0_serialNumber(two)), 0);
  X509_free(one);
  X509_free(two);
}

TEST(Pki, NamesCannotSmuggle) {
  auto ca = MakeAuthority("test CA", ValidNow());
  LeafRequest request;
  request.validity = ValidNow();
  request.usage = Usage::kServer;
  request.san = {"a,DNS:evil"};
  EXPECT_FALSE(MakeLeaf(*ca, request).ok());
  request.san = {"::1", "*.example.com"};
  EXPECT_TRUE(MakeLeaf(*ca, request).ok());
}

TEST(Addresses, AllForms) {
  struct Case {
    const char* text;
    const char* host;
    int port;
    const char* shown;
  };
  for (const Case& c :
       {Case{"10.0.0.1", "10.0.0.1", 50000, "10.0.0.1"}, Case{"node-1:1", "node-1", 1, "node-1:1"},
        Case{"::1", "::1", 50000, "::1"}, Case{"[::1]", "::1", 50000, "::1"}, Case{"[::1]:7", "::1", 7, "[::1]:7"}}) {
    auto address = ParseAddress(c.text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->host, c.host);
    EXPECT_EQ(address->port, c.port);
    EXPECT_EQ(address->Text(), c.shown);
  }
  for (const char* wrong : {"", ":1", "a:", "a:0", "a:65536", "a:x", "[::1", "[::1]x", "a b", "http://a", "u@a"}) {
    EXPECT_EQ(ExitCodeOf(ParseAddress(wrong).status()), ExitCode::kUsage) << wrong;
  }
}

class GenTest : public testing::Test {
 protected:
  Outcome Osctl(const std::vector<std::string>& words) { return RunOsctl(words, environment_); }
  std::string keys() const { return directory_.path() + "/keys"; }
  mode_t ModeOf(const std::string& name) {
    struct stat info = {};
    EXPECT_EQ(::stat((keys() + "/" + name).c_str(), &info), 0) << name;
    return info.st_mode & 0777;
  }

  TemporaryDirectory directory_;
  std::map<std::string, std::string> environment_ = {{"OSCTLCONFIG", directory_.path() + "/keys/osctl.yaml"}};
};

TEST_F(GenTest, NodeWritesEverything) {
  std::string pod = directory_.File("hello.yaml", "kind: Pod\n\nmetadata:\n  name: hello\n");
  Outcome run = Osctl(
      {"gen",      "node",         "demo",  "--san",         "127.0.0.1",          "-o",         keys(),      "--disk",
       "/dev/vda", "--static-pod", pod,     "--address",     "eth0=192.0.2.10/24", "--gateway",  "192.0.2.1", "--dhcp",
       "eth1",     "--label",      "a/b=c", "--time-server", "192.0.2.9",          "--hostname", "demo"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, "");
  for (const char* secret : {"server-ca.key", "client-ca.key", "demo.key", "admin.key", "demo.yaml", "osctl.yaml"}) {
    EXPECT_EQ(ModeOf(secret), 0600u) << secret;
  }
  config::v1::MachineConfig config;
  EXPECT_TRUE(config::ParseYaml(*ReadFile(keys() + "/demo.yaml"), {}, &config).empty());
  EXPECT_EQ(config.storage().disk(), "/dev/vda");
  EXPECT_EQ(config.network().hostname(), "demo");
  ASSERT_EQ(config.network().interfaces_size(), 2);
  EXPECT_EQ(config.network().interfaces(1).routes(0).via(), "192.0.2.1");
  ASSERT_EQ(config.kubelet().static_pods_size(), 1);
  EXPECT_EQ(config.kubelet().static_pods(0).name(), "hello");
  EXPECT_EQ(config.kubelet().static_pods(0).manifest(), "kind: Pod\n\nmetadata:\n  name: hello\n");
  EXPECT_EQ(config.kubelet().node_labels().at("a/b"), "c");
  EXPECT_EQ(config.api().client_ca(), *ReadFile(keys() + "/client-ca.crt"));
  EXPECT_EQ(Verify(*ReadFile(keys() + "/server-ca.crt"), config.api().certificate(), X509_PURPOSE_SSL_SERVER),
            X509_V_OK);
  EXPECT_EQ(Osctl({"context", "list"}).out, "CURRENT  NAME  NODES  ENDPOINTS\n*        demo  1      127.0.0.1\n");
}

TEST_F(GenTest, ASecondNodeJoinsTheFirst) {
  ASSERT_EQ(Osctl({"gen", "node", "one", "--san", "10.0.0.1", "-o", keys()}).code, 0);
  std::string ca = *ReadFile(keys() + "/server-ca.crt");
  ASSERT_EQ(Osctl({"gen", "node", "two", "--san", "10.0.0.2", "-o", keys()}).code, 0);
  EXPECT_EQ(*ReadFile(keys() + "/server-ca.crt"), ca);
  EXPECT_EQ(Osctl({"context", "list", "-o", "name"}).out, "one\ntwo\n");
}

// Whoever adds a key to the schema adds it to the text, at least as a comment.
void ExpectKeys(const google::protobuf::Descriptor* message, const std::string& text) {
  for (int i = 0; i < message->field_count(); ++i) {
    const auto* field = message->field(i);
    EXPECT_THAT(text, HasSubstr(field->json_name() + ":")) << field->full_name();
    if (field->message_type() != nullptr && !field->is_map()) ExpectKeys(field->message_type(), text);
  }
}

TEST_F(GenTest, ConfigShowsEveryKey) {
  ASSERT_EQ(Osctl({"gen", "pki", "-o", keys(), "--name", "n", "--san", "10.0.0.1"}).code, 0);
  Outcome run = Osctl({"gen", "config", "--pki", keys(), "--name", "n"});
  ASSERT_EQ(run.code, 0) << run.err;
  ExpectKeys(config::v1::MachineConfig::descriptor(), run.out);
}

TEST_F(GenTest, ConfigWithoutCommentsIsTheSame) {
  ASSERT_EQ(Osctl({"gen", "pki", "-o", keys(), "--name", "n"}).code, 0);
  std::string ca = directory_.File("ca.pem", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n");
  Outcome run = Osctl({"gen", "config", "--pki", keys(), "--name", "n", "--bootstrap-server", "https://192.0.2.1:6443",
                       "--bootstrap-ca", ca, "--bootstrap-token", "abcdef.0123456789abcdef", "--cluster-dns",
                       "10.96.0.10", "--node-ip", "192.0.2.10"});
  ASSERT_EQ(run.code, 0) << run.err;
  config::v1::MachineConfig config;
  EXPECT_TRUE(config::ParseYaml(run.out, {}, &config).empty());
  EXPECT_EQ(config.kubelet().bootstrap().server(), "https://192.0.2.1:6443");
  EXPECT_EQ(config.kubelet().cluster_dns(0), "10.96.0.10");
  EXPECT_EQ(Osctl({"gen", "config", "--pki", keys(), "--name", "n", "--bootstrap-server", "x"}).code, 2);
  EXPECT_EQ(Osctl({"gen", "config", "--pki", keys(), "--name", "n", "--static-pod", "/nonexistent"}).code, 8);
}

TEST_F(GenTest, ClientsWithRolesAndValidity) {
  ASSERT_EQ(Osctl({"gen", "pki", "-o", keys()}).code, 0);
  ASSERT_EQ(Osctl({"gen", "client", "-o", keys(), "--role", "reader", "--name", "bob", "--valid-for", "2h"}).code, 0);
  auto info = ReadCertificate(*ReadFile(keys() + "/bob.crt"));
  EXPECT_EQ(info->organization, "reader");
  EXPECT_LT(info->validity.not_after, absl::Now() + absl::Hours(3));
  ASSERT_EQ(Osctl({"gen", "client", "-o", keys(), "--name", "old", "--not-after", "1d"}).code, 0);
  EXPECT_LT(ReadCertificate(*ReadFile(keys() + "/old.crt"))->validity.not_after, absl::Now());
  EXPECT_EQ(Osctl({"gen", "client", "-o", keys(), "--role", "king"}).code, 2);
  EXPECT_EQ(Osctl({"gen", "client", "-o", directory_.path() + "/empty"}).code, 8);
}

TEST_F(GenTest, ContextsAreManaged) {
  ASSERT_EQ(Osctl({"gen", "node", "one", "--san", "10.0.0.1", "-o", keys()}).code, 0);
  std::string made = keys() + "/osctl.yaml";
  environment_["OSCTLCONFIG"] = directory_.path() + "/deep/er/config.yaml";
  EXPECT_EQ(Osctl({"version"}).code, 8);  // no context yet
  EXPECT_EQ(Osctl({"context", "add", "one", "--from", made}).code, 0);
  EXPECT_EQ(Osctl({"context", "add", "two", "--endpoint", "10.0.0.2", "--ca", keys() + "/server-ca.crt",
                   "--certificate", keys() + "/admin.crt", "--key", keys() + "/admin.key"})
                .code,
            0);
  EXPECT_EQ(Osctl({"context", "use", "two"}).code, 0);
  EXPECT_EQ(Osctl({"context", "list"}).out,
            "CURRENT  NAME  NODES  ENDPOINTS\n         one   1      10.0.0.1\n*        two   1      10.0.0.2\n");
  Outcome show = Osctl({"context", "show"});
  EXPECT_THAT(show.out, HasSubstr("name: two\n"));
  EXPECT_THAT(show.out, HasSubstr("role: admin\n"));
  EXPECT_EQ(Osctl({"context", "remove", "two"}).code, 0);
  EXPECT_EQ(Osctl({"context", "use", "two"}).code, 8);
  struct stat info = {};
  ASSERT_EQ(::stat(environment_["OSCTLCONFIG"].c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(GenTest, BadContextsSayWhere) {
  environment_["OSCTLCONFIG"] = directory_.File("config.yaml",
                                                "apiVersion: stele.dev/v1\nkind: ClientConfig\ncontexts:\n- name: a\n"
                                                "  ca: x\n  certificate: y\n  key: z\n  colour: red\n");
  Outcome run = Osctl({"version"});
  EXPECT_EQ(run.code, 8);
  EXPECT_THAT(run.err, StartsWith("osctl: contexts: " + environment_["OSCTLCONFIG"] + ":8:3: contexts[0].colour: "));
  environment_["OSCTLCONFIG"] = directory_.File("config.yaml",
                                                "apiVersion: stele.dev/v1\nkind: ClientConfig\ncontexts:\n- name: a\n"
                                                "  ca: x\n  certificate: y\n  key: z\n");
  EXPECT_EQ(Osctl({"version"}).err.find("osctl: context a: ca: open " + directory_.path() + "/x: No such file"), 0u);
  EXPECT_EQ(Osctl({"version", "--context", "b"}).code, 8);
}

}  // namespace
}  // namespace stele::osctl
