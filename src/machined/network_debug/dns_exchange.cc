#include "machined/network_debug/dns_exchange.h"

#include <poll.h>

#include "machined/network_debug/random_number.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxMessage = 65'535;

// A connected socket: the kernel lets only the server's own packets through, and tells of a port where nobody listens.
absl::StatusOr<UniqueFd> Connect(const SocketAddress& server, int type, absl::Duration deadline, const Stop& stop) {
  UniqueFd fd(::socket(server.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrnoStatus("open a socket");
  if (::connect(fd.get(), server.get(), server.size) == 0) return fd;
  if (errno != EINPROGRESS) return ErrnoStatus("connect");
  RETURN_IF_ERROR(stop.Wait(fd.get(), POLLOUT, deadline));
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return StatusFromErrno(error, "connect");
  return fd;
}

absl::StatusOr<DnsAnswer> AskByUdp(const SocketAddress& server, const std::string& name, DnsType type, uint16_t id,
                                   absl::Duration deadline, const Stop& stop) {
  ASSIGN_OR_RETURN(std::string question, DnsQuestion(name, type, id));
  ASSIGN_OR_RETURN(UniqueFd fd, Connect(server, SOCK_DGRAM, deadline, stop));
  if (::send(fd.get(), question.data(), question.size(), MSG_NOSIGNAL) < 0) return ErrnoStatus("send");
  std::string buffer(kMaxMessage, '\0');
  while (true) {
    RETURN_IF_ERROR(stop.Wait(fd.get(), POLLIN, deadline));
    ssize_t size = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (size < 0) return ErrnoStatus("receive");
    absl::StatusOr<DnsAnswer> answer =
        ParseDnsAnswer(absl::string_view(buffer.data(), static_cast<size_t>(size)), name, type, id);
    if (answer.ok()) return answer;
    // Somebody may be guessing: what is not the answer is as if it had not come.
  }
}

absl::StatusOr<std::string> ReadExactly(int fd, size_t size, absl::Duration deadline, const Stop& stop) {
  std::string bytes(size, '\0');
  for (size_t at = 0; at < size;) {
    RETURN_IF_ERROR(stop.Wait(fd, POLLIN, deadline));
    ssize_t got = ::recv(fd, bytes.data() + at, size - at, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got < 0) return ErrnoStatus("receive");
    if (got == 0) return absl::UnavailableError("the server ended the connection");
    at += static_cast<size_t>(got);
  }
  return bytes;
}

absl::StatusOr<DnsAnswer> AskByTcp(const SocketAddress& server, const std::string& name, DnsType type, uint16_t id,
                                   absl::Duration deadline, const Stop& stop) {
  ASSIGN_OR_RETURN(std::string question, DnsQuestion(name, type, id));
  ASSIGN_OR_RETURN(UniqueFd fd, Connect(server, SOCK_STREAM, deadline, stop));
  char length[] = {static_cast<char>(question.size() >> 8), static_cast<char>(question.size())};
  question.insert(0, length, sizeof length);
  // A few hundred bytes always fit into a new connection's buffer.
  if (::send(fd.get(), question.data(), question.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(question.size())) {
    return ErrnoStatus("send");
  }
  ASSIGN_OR_RETURN(std::string head, ReadExactly(fd.get(), 2, deadline, stop));
  size_t size = static_cast<size_t>(static_cast<uint8_t>(head[0]) << 8 | static_cast<uint8_t>(head[1]));
  ASSIGN_OR_RETURN(std::string bytes, ReadExactly(fd.get(), size, deadline, stop));
  return ParseDnsAnswer(bytes, name, type, id);
}

}  // namespace

absl::StatusOr<DnsReply> AskDns(const SocketAddress& server, const std::string& name, DnsType type,
                                absl::Duration deadline, const Stop& stop) {
  uint16_t id = static_cast<uint16_t>(RandomNumber());
  DnsReply reply;
  ASSIGN_OR_RETURN(reply.answer, AskByUdp(server, name, type, id, deadline, stop));
  if (!reply.answer.truncated) return reply;
  reply.tcp = true;
  ASSIGN_OR_RETURN(reply.answer, AskByTcp(server, name, type, id, deadline, stop));
  return reply;
}

}  // namespace stele::machined
