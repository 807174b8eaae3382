// A number that nobody can guess: what answers of strangers are held against.
#pragma once

#include <sys/random.h>

#include <cstdint>

namespace stele::machined {

inline uint64_t RandomNumber() {
  uint64_t number = 0;
  // Eight bytes come whole; a signal before the kernel's pool is ready is the only way to get none.
  while (::getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) {
  }
  return number;
}

}  // namespace stele::machined
