// What this program was built from; CMake gives the values.
#pragma once

namespace stele {

extern const char kBuildVersion[];  // "0.1.0"
extern const char kBuildCommit[];   // of git, with "-dirty" for a changed tree; "unknown" outside one

}  // namespace stele
