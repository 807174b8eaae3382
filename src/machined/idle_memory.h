// What machined keeps in memory while it has nothing to do.
#pragma once

#include "machined/owner_loop.h"

namespace stele::machined {

// Every three seconds, once the start's work is done: gives freed heap back and unmaps clean pages of the program and
// its libraries. Most of gRPC and protobuf runs once, at the start; what is used again is mapped
// again out of the page cache, in microseconds.
void ReleaseIdleMemory(OwnerLoop& loop);

}  // namespace stele::machined
