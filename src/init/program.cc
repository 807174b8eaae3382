#include "init/program.h"

#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"

namespace stele::init {

Program::Program(ServiceSpec spec) : spec_(std::move(spec)) {
  cgroup_ = spec_.cgroup.empty() ? absl::StrCat("system/", spec_.name) : spec_.cgroup;
  for (std::string& argument : spec_.argv) argv_.push_back(argument.data());
  argv_.push_back(nullptr);
  for (std::string& variable : spec_.env) env_.push_back(variable.data());
  env_.resize(env_.size() + 3, nullptr);
}

char* const* Program::Environment(int listen_fds) {
  size_t end = spec_.env.size();
  if (listen_fds > 0) {
    snprintf(listen_pid_.data(), listen_pid_.size(), "LISTEN_PID=%d", ::getpid());
    snprintf(listen_fds_.data(), listen_fds_.size(), "LISTEN_FDS=%d", listen_fds);
    env_[end++] = listen_pid_.data();
    env_[end++] = listen_fds_.data();
  }
  env_[end] = nullptr;
  return env_.data();
}

}  // namespace stele::init
