#include "applets/dhcp_report.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "applets/applets.h"
#include "base/unique_fd.h"

namespace stele::applets {
namespace {

bool Begins(const char* text, const char* with) { return strncmp(text, with, strlen(with)) == 0; }

void Append(const char* variable, std::string& report) {
  size_t size = strlen(variable);
  if (strchr(variable, '\n') != nullptr || report.size() + size + 1 > kMaxDhcpReport) return;
  report.append(variable, size).push_back('\n');
}

}  // namespace

std::string DhcpReport(const char* const* environment) {
  std::string report;
  for (const char* first : {"reason=", "interface=", "protocol=", "new_"}) {
    for (const char* const* variable = environment; *variable != nullptr; ++variable) {
      if (Begins(*variable, first)) Append(*variable, report);
    }
  }
  return report;
}

int DhcpReportMain(int, char**) {
  std::string report = DhcpReport(environ);
  sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, kDhcpSocket);
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  timeval wait = {.tv_sec = 2, .tv_usec = 0};  // machined may be starting; dhcpcd waits for us
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  if (::sendto(socket.get(), report.data(), report.size(), 0, reinterpret_cast<sockaddr*>(&address), sizeof address) >=
      0) {
    return 0;
  }
  fprintf(stderr, "dhcp-report: tell %s: %s\n", kDhcpSocket, strerror(errno));
  return 1;
}

}  // namespace stele::applets
