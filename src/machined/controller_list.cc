// Every controller of the node, in start order. A new one is added here and nowhere else.
#include "machined/controller.h"

namespace stele::machined {

std::vector<std::unique_ptr<Controller>> AllControllers() {
  std::vector<std::unique_ptr<Controller>> all;
  return all;
}

}  // namespace stele::machined
