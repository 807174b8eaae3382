// The `neighbours` resources, by rtnetlink (rtnetlink(7), RTM_GETNEIGH).
#include <arpa/inet.h>
#include <linux/neighbour.h>
#include <net/if.h>

#include "absl/strings/str_cat.h"
#include "base/netlink.h"
#include "machined/network_kernel.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/kernel.pb.h"

namespace stele::machined {
namespace {

std::string StateName(uint16_t state) {
  static constexpr struct {
    uint16_t bit;
    const char* name;
  } kStates[] = {{NUD_REACHABLE, "reachable"}, {NUD_STALE, "stale"},           {NUD_DELAY, "delay"},
                 {NUD_PROBE, "probe"},         {NUD_INCOMPLETE, "incomplete"}, {NUD_FAILED, "failed"},
                 {NUD_PERMANENT, "permanent"}};
  for (const auto& one : kStates) {
    if (state & one.bit) return one.name;
  }
  return "none";
}

void Take(const NetlinkReply& reply, Provided& all) {
  ndmsg head;
  if (reply.type != RTM_NEWNEIGH || !reply.Read(&head)) return;
  NetlinkAttributes attributes = reply.AttributesAfter<ndmsg>();
  absl::string_view address = attributes.Get(NDA_DST);
  bool v4 = head.ndm_family == AF_INET && address.size() == 4;
  bool v6 = head.ndm_family == AF_INET6 && address.size() == 16;
  if (head.ndm_state == NUD_NOARP) return;  // nobody was asked for it: loopback, multicast
  char text[INET6_ADDRSTRLEN];
  char link[IF_NAMESIZE];
  if ((!v4 && !v6) || ::inet_ntop(head.ndm_family, address.data(), text, sizeof(text)) == nullptr) return;
  if (::if_indextoname(static_cast<unsigned>(head.ndm_ifindex), link) == nullptr) return;  // it has gone
  auto* neighbour = Provide<resource::v1::Neighbour>(all, absl::StrCat(text, "@", link));
  if (neighbour == nullptr) return;
  neighbour->set_address(text);
  neighbour->set_link(link);
  neighbour->set_hardware_address(HardwareAddressText(attributes.Get(NDA_LLADDR)));
  neighbour->set_state(StateName(head.ndm_state));
  neighbour->set_router(head.ndm_flags & NTF_ROUTER);
}

}  // namespace

absl::StatusOr<Provided> ReadNeighbours() {
  Provided all;
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open());
  NetlinkMessage request(RTM_GETNEIGH, NLM_F_DUMP, ndmsg{});
  absl::Status dumped = socket.Dump(request, [&all](const NetlinkReply& reply) { Take(reply, all); });
  // A table that changed meanwhile is a little old, as any answer is.
  if (!dumped.ok() && !absl::IsAborted(dumped)) return dumped;
  return all;
}

}  // namespace stele::machined
