// A service's spec made ready for execve: everything that allocates is done here, once.
#pragma once

#include <array>
#include <vector>

#include "base/service_spec.h"

namespace stele::init {

class Program {
 public:
  explicit Program(ServiceSpec spec);
  // Pins pointers into itself.
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  const ServiceSpec& spec() const { return spec_; }
  const char* cgroup() const { return cgroup_.c_str(); }

  char* const* argv() { return argv_.data(); }
  // The environment with LISTEN_PID and LISTEN_FDS of the calling process, which got `listen_fds`
  // descriptors from 3 on. Called in the child.
  char* const* Environment(int listen_fds);

 private:
  ServiceSpec spec_;
  std::string cgroup_;
  std::vector<char*> argv_, env_;  // end in nullptr; env_ has room for two more
  std::array<char, 32> listen_pid_{}, listen_fds_{};
};

}  // namespace stele::init
