// What a client proves itself with, and what it trusts.
#pragma once

#include <string>

namespace stele::osctl {

// All PEM.
struct ClientKeys {
  std::string ca;           // that signed the node's certificate
  std::string certificate;  // the client's
  std::string key;
  std::string server_name;  // the name in the node's certificate; empty: the host that is dialled
};

}  // namespace stele::osctl
