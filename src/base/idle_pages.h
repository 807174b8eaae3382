// What a process keeps mapped although it does nothing.
#pragma once

namespace stele {

// Gives back what the heap has free, and unmaps the pages of program and libraries that are as they are on disk: who
// needs them again maps them from the page cache. Less than a millisecond. Any thread.
void GiveIdlePagesBack();

}  // namespace stele
