// Which version of Stele runs: the image's, as its os-release says.
#pragma once

#include <string>

namespace stele::machined {

// IMAGE_VERSION of `os_release` (os-release(5)); machined's own version where there is none, as in a node of a test.
std::string ImageVersion(const std::string& os_release = "/usr/lib/os-release");

}  // namespace stele::machined
