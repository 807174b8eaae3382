// machined; and, by another name, what it starts to send logs (log_sinks/forward.h).
#include <cstring>

#include "machined/log_sinks/forward.h"
#include "machined/machined.h"

int main(int argc, char** argv) {
  const char* slash = argc > 0 ? std::strrchr(argv[0], '/') : nullptr;
  if (slash != nullptr && std::strcmp(slash, "/forward") == 0) return stele::machined::ForwardMain(argc, argv);
  return stele::machined::MachinedMain(argc, argv);
}
