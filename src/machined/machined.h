// The daemon as a whole.
#pragma once

namespace stele::machined {

// Runs until init ends it; the process's exit code.
int MachinedMain(int argc, char** argv);

}  // namespace stele::machined
