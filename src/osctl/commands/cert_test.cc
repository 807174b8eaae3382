// osctl cert: what it issues, and what nodes are told of what is revoked.
#include <gmock/gmock.h>

#include "osctl/fake_node.h"

namespace stele::osctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class CertTest : public FakeNodeTest {};

TEST_F(CertTest, IssuesForARoleAndATime) {
  absl::Time before = absl::Now();
  Outcome run = Osctl({"cert", "issue", "--role", "ci-deploys", "--ttl", "90m", "--name", "ci-4711", "-o", keys()});
  ASSERT_EQ(run.code, 0) << run.err;
  auto info = ReadCertificate(*store().LoadCertificate("ci-4711"));
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->common_name, "ci-4711");
  EXPECT_EQ(info->organization, "ci-deploys");
  EXPECT_GE(info->validity.not_after, before + absl::Minutes(89));
  EXPECT_LE(info->validity.not_after, absl::Now() + absl::Minutes(91));
  EXPECT_THAT(run.err, HasSubstr(absl::StrCat("ci-4711.{crt,key}, serial ", info->serial, ", good until ")));
  EXPECT_THAT(node_->state().calls, ElementsAre()) << "no node is asked";
}

TEST_F(CertTest, WhatCannotBeIssuedIsToldAsAMistakeOfUse) {
  EXPECT_EQ(Osctl({"cert", "issue", "--role", "No Role", "-o", keys()}).code, 2);
  EXPECT_EQ(Osctl({"cert", "issue", "--role", "reader", "--ttl", "0s", "-o", keys()}).code, 2);
  EXPECT_EQ(Osctl({"cert", "issue", "-o", keys()}).code, 2);
  EXPECT_NE(Osctl({"cert", "issue", "--role", "reader", "-o", directory_.path() + "/elsewhere"}).code, 0);
}

TEST_F(CertTest, RevokesByFileAndBySerial) {
  ASSERT_EQ(Osctl({"cert", "issue", "--role", "reader", "--name", "alice", "-o", keys()}).code, 0);
  auto info = ReadCertificate(*store().LoadCertificate("alice"));
  Outcome run = Osctl({"cert", "revoke", keys() + "/alice.crt", "--reason", "laptop lost"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("revoked\n"));
  EXPECT_THAT(run.err, HasSubstr("forgets this when it reboots"));
  run = Osctl({"cert", "revoke", info->serial});
  EXPECT_THAT(run.err, HasSubstr("was revoked before"));
  int64_t ends = absl::ToUnixSeconds(info->validity.not_after);
  EXPECT_THAT(node_->state().calls, ElementsAre(absl::StrCat("revoke serial: \"", info->serial,
                                                             "\" subject: \"alice\" reason: \"laptop lost\" ",
                                                             "not_after { seconds: ", ends, " }"),
                                                absl::StrCat("revoke serial: \"", info->serial, "\"")));
}

TEST_F(CertTest, NeitherAFileNorASerialIsNothingToRevoke) {
  Outcome run = Osctl({"cert", "revoke", "keys/nobody.crt"});
  EXPECT_EQ(run.code, 2);
  EXPECT_THAT(run.err, HasSubstr("neither a file nor a serial number"));
  run = Osctl({"cert", "revoke", keys() + "/client-ca.key"});
  EXPECT_NE(run.code, 0);
  EXPECT_THAT(node_->state().calls, ElementsAre());
}

}  // namespace
}  // namespace stele::osctl
