// osctl: see run.h.
#include <unistd.h>

#include <cstdlib>

#include "osctl/run.h"

int main(int argc, char** argv) {
  stele::osctl::Console console(STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO);
  stele::osctl::ExitCode code = stele::osctl::Run({argv + 1, argv + argc}, &std::getenv, &console);
  // Nothing is buffered, and gRPC's own shutdown would cost milliseconds.
  _exit(static_cast<int>(code));
}
