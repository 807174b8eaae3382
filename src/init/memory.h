// What init keeps in memory while it has nothing to do.
#pragma once

namespace stele::init {

// Unmaps init's own clean pages and trims the heap. What is used again is mapped again out of the
// page cache, in microseconds. Each first touch maps 64 KB around it, so a little of everything
// soon is all of the program; what waiting needs is a third of a megabyte.
void ReleaseMemory();

}  // namespace stele::init
