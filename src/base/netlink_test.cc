#include "base/netlink.h"

#include <gtest/gtest.h>
#include <net/if.h>

namespace stele {
namespace {

TEST(NetlinkAttributes, NeverReadsPastTheEnd) {
  std::string bytes;
  auto add = [&](uint16_t length, uint16_t type, absl::string_view value) {
    rtattr header = {length, type};
    bytes.append(reinterpret_cast<const char*>(&header), sizeof(header));
    bytes.append(value.data(), value.size());
  };
  add(8, 1, "abcd");
  add(200, 2, "efgh");  // says more than there is
  EXPECT_EQ(NetlinkAttributes(bytes).Get(1), "abcd");
  EXPECT_FALSE(NetlinkAttributes(bytes).Has(2));
  bytes.clear();
  add(0, 1, "");  // shorter than itself: must not loop for ever
  EXPECT_FALSE(NetlinkAttributes(bytes).Has(1));
  for (size_t size = 0; size < 16; ++size) {
    EXPECT_FALSE(NetlinkAttributes(absl::string_view("\x10\0\x07\0aaaaaaaaaaa", size)).Has(7)) << size;
  }
}

TEST(NetlinkAttributes, ReadsNumbersOfTheRightSizeOnly) {
  NetlinkMessage message(RTM_GETLINK, 0, ifinfomsg{});
  message.AddU32(5, 77);
  message.AddU8(6, 9);
  message.AddString(7, "eth0");
  absl::string_view bytes = message.Finish(0, 1);
  NetlinkAttributes attributes(bytes.substr(sizeof(nlmsghdr) + sizeof(ifinfomsg)));
  EXPECT_EQ(attributes.U32(5), 77u);
  EXPECT_EQ(attributes.U32(6, 3), 3u);
  EXPECT_EQ(attributes.U8(6), 9);
  EXPECT_EQ(attributes.U8(5, 4), 4);
  EXPECT_EQ(attributes.String(7), "eth0");
}

TEST(NetlinkSocket, DumpsTheLoopbackLink) {
  absl::StatusOr<NetlinkSocket> socket = NetlinkSocket::Open();
  ASSERT_TRUE(socket.ok()) << socket.status();
  NetlinkMessage message(RTM_GETLINK, 0, ifinfomsg{});
  std::vector<std::string> names;
  absl::Status status = socket->Dump(message, [&](const NetlinkReply& reply) {
    names.push_back(reply.AttributesAfter<ifinfomsg>().String(IFLA_IFNAME));
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_NE(std::find(names.begin(), names.end(), "lo"), names.end());
}

TEST(NetlinkSocket, TellsTheKernelsError) {
  absl::StatusOr<NetlinkSocket> socket = NetlinkSocket::Open();
  ASSERT_TRUE(socket.ok()) << socket.status();
  ifinfomsg info = {};
  info.ifi_index = 0x7ffffff0;
  NetlinkMessage message(RTM_SETLINK, 0, info);
  absl::Status status = socket->Request(message);
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.code(), absl::StatusCode::kUnavailable) << status;
  // The socket is in step: the next request gets its own answer.
  NetlinkMessage again(RTM_GETLINK, 0, ifinfomsg{});
  EXPECT_TRUE(socket->Dump(again, [](const NetlinkReply&) {}).ok());
}

}  // namespace
}  // namespace stele
