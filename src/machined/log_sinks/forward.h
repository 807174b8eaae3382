// forward: the program that holds one connection to a receiver of logs, a process of its own which machined starts
// (log_sink.h) and which may do nothing else: it has lost root, capabilities and the file system before it looks at
// the network. It is machined's file under another name, so that the image has TLS once.
//
//   forward tcp|tls|udp HOST PORT
//
// Standard input: three blobs (the CAs, the node's certificate, its key; PEM, empty for none), then records, each sent
// as it is; each with its length before it, four bytes in the machine's order. A record that broke off with its
// connection is sent again, whole. While there is no connection nothing is read: who writes finds the pipe full.
// Standard output: lines, "connected", "lost WHY", "failed WHY", and "sent N", the records since the line before.
#pragma once

#include <cstdint>

namespace stele::machined {

inline constexpr uint32_t kMaxForwardBlob = 1 << 20;  // a configuration is no larger
inline constexpr uint32_t kMaxForwardRecord = 512 << 10;

// Ends with its standard input; its exit code.
int ForwardMain(int argc, char** argv);

}  // namespace stele::machined
