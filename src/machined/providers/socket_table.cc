#include "machined/providers/socket_table.h"

#include <arpa/inet.h>

#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "machined/providers/kernel_files.h"

namespace stele::machined {
namespace {

// Columns of a line, split at spaces.
enum Column { kLocal = 1, kRemote = 2, kState = 3, kQueues = 4, kUid = 7, kInode = 9, kColumns };

// enum in include/net/tcp_states.h.
constexpr const char* kTcpStates[] = {"",           "established", "syn-sent",        "syn-received", "fin-wait-1",
                                      "fin-wait-2", "time-wait",   "closed",          "close-wait",   "last-ack",
                                      "listen",     "closing",     "new-syn-received"};

// "0100007F:1F90" → 127.0.0.1:8080: words of the address as the machine has them, the port as a number. False for
// anything else.
bool ParseEnd(absl::string_view text, std::string* out) {
  std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  absl::string_view address = parts.first;
  uint32_t port = 0;
  if ((address.size() != 8 && address.size() != 32) || !absl::SimpleHexAtoi(parts.second, &port)) return false;
  uint32_t words[4] = {};
  for (size_t i = 0; i * 8 < address.size(); ++i) {
    if (!absl::SimpleHexAtoi(address.substr(i * 8, 8), &words[i])) return false;
  }
  char buffer[INET6_ADDRSTRLEN];
  bool v6 = address.size() == 32;
  if (::inet_ntop(v6 ? AF_INET6 : AF_INET, words, buffer, sizeof(buffer)) == nullptr) return false;
  std::string shown = (words[0] | words[1] | words[2] | words[3]) == 0 ? "*"
                      : v6                                             ? absl::StrCat("[", buffer, "]")
                                                                       : buffer;
  *out = absl::StrCat(shown, ":", port == 0 ? "*" : absl::StrCat(port));
  return true;
}

std::string StateName(uint32_t state, absl::string_view protocol) {
  if (!absl::StartsWith(protocol, "tcp")) return state == 1 ? "connected" : "open";
  return state < std::size(kTcpStates) ? kTcpStates[state] : absl::StrCat("state-", state);
}

}  // namespace

absl::StatusOr<SocketLine> ParseSocketLine(absl::string_view line, absl::string_view protocol) {
  std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
  auto bad = [&line] { return absl::InvalidArgumentError(absl::StrCat("no socket: ", line)); };
  if (fields.size() < kColumns) return bad();
  SocketLine socket;
  std::pair<absl::string_view, absl::string_view> queues = absl::StrSplit(fields[kQueues], absl::MaxSplits(':', 1));
  uint32_t state = 0;
  uint32_t uid = 0;
  uint64_t sent = 0;
  uint64_t received = 0;
  if (!ParseEnd(fields[kLocal], socket.body.mutable_local()) ||
      !ParseEnd(fields[kRemote], socket.body.mutable_remote()) || !absl::SimpleHexAtoi(fields[kState], &state) ||
      !absl::SimpleHexAtoi(queues.first, &sent) || !absl::SimpleHexAtoi(queues.second, &received) ||
      !absl::SimpleAtoi(fields[kUid], &uid) || !absl::SimpleAtoi(fields[kInode], &socket.inode)) {
    return bad();
  }
  socket.body.set_protocol(std::string(protocol));
  socket.body.set_state(StateName(state, protocol));
  socket.body.set_uid(uid);
  socket.body.set_send_queue(sent);
  socket.body.set_receive_queue(received);
  return socket;
}

}  // namespace stele::machined
