#include "init/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>

namespace stele::init {
namespace {

int g_log = -1;
bool g_kernel_log = false;
unsigned g_lost = 0;

// A description of our own of what standard error is, so that O_NONBLOCK is ours alone.
int ReopenStandardError() {
  int fd = ::open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  return fd >= 0 ? fd : ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
}

bool Write(const char* line, int size) {
  ssize_t put;
  do {
    put = ::write(g_log, line, static_cast<size_t>(size));
  } while (put < 0 && errno == EINTR);
  return put >= 0;
}

}  // namespace

void OpenLog(bool kernel_log) {
  if (g_log >= 0) ::close(g_log);
  g_log = kernel_log ? ::open("/dev/kmsg", O_WRONLY | O_NONBLOCK | O_CLOEXEC) : -1;
  g_kernel_log = g_log >= 0;
  if (g_log < 0) g_log = ReopenStandardError();
}

void Log(Level level, const char* format, ...) {
  int saved = errno;
  if (g_log < 0) OpenLog(false);
  char line[960];
  int size = g_kernel_log ? snprintf(line, sizeof line, "<%d>init: ", 24 + static_cast<int>(level))  // 24: daemon
                          : snprintf(line, sizeof line, "init: ");
  if (g_lost > 0) size += snprintf(line + size, sizeof line - size, "(%u lines lost) ", g_lost);
  va_list arguments;
  va_start(arguments, format);
  int text = vsnprintf(line + size, 900, format, arguments);
  va_end(arguments);
  if (text > 899) text = 899;
  size += text < 0 ? 0 : text;
  line[size++] = '\n';
  if (Write(line, size)) {
    g_lost = 0;
  } else {
    ++g_lost;
  }
  errno = saved;
}

int LogDescriptor() { return g_log; }

}  // namespace stele::init
