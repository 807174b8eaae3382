// Leaving the file system for good (landlock(7)): a process that faces the network keeps what it must read, and nothing
// else.
#pragma once

#include <initializer_list>

namespace stele {

// From now on this thread and its children can open nothing but, for reading, what lies below `readable`: files, and
// folders, whose programs may also be executed. A path that is not there, or null, is passed over. Needs no_new_privs
// or CAP_SYS_ADMIN. Connecting to a socket's path is no right of Landlock's, and stays possible. 0, also on a kernel
// without Landlock; else an errno.
int EnterLandlock(std::initializer_list<const char*> readable);

}  // namespace stele
