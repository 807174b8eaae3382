// Every limit that apid keeps, in one place. docs/security-api.md lists them for operators.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stele {

struct Limits {
  // Connections; a source is an IPv4 address or an IPv6 /64. Where one more would be too many, a
  // connection that has not finished its handshake gives way: the oldest of the source that has most
  // of them, and rather one that has said nothing. `connections` and `clients` are smaller where
  // RLIMIT_NOFILE is: a client needs a second descriptor, towards machined.
  size_t connections = 1024;
  size_t strangers_per_source = 128;  // before their handshake is finished
  size_t handshakes = 128;            // that have begun: these cost memory and signatures
  size_t clients = 256;               // whose certificate is good
  size_t clients_per_source = 64;
  size_t reserved_descriptors = 24;  // epoll, listener, signals, logs, and room for accept(2)

  // Time.
  int64_t handshake_ms = 5'000;  // from accept to the client's HTTP/2 SETTINGS
  int64_t idle_ms = 5 * 60'000;  // without a call
  int64_t age_ms = 30 * 60'000;  // then no new calls; those that run get
  int64_t age_grace_ms = 10 * 60'000;
  int64_t machined_wait_ms = 2'000;  // a call waits this long for machined to answer at all
  int64_t drain_ms = 2'000;          // after SIGTERM

  // HTTP/2 and gRPC.
  uint32_t streams = 32;                  // calls at a time on one connection
  uint32_t metadata_bytes = 4 * 1024;     // of one call: names, values, and 32 for each pair
  uint32_t message_bytes = 1024 * 1024;   // of one request message
  int control_frames_per_second = 2'000;  // PING, SETTINGS, PRIORITY
  uint64_t resets_burst = 200;            // RST_STREAM from a client, then
  uint64_t resets_per_second = 33;

  // Bytes that wait in apid because the other side is slow. Windows are what makes the sender stop.
  uint32_t request_window = 512 * 1024;  // of one call, from the client
  uint32_t request_connection_window = 1024 * 1024;
  uint32_t response_window = 512 * 1024;  // of one call, from machined
  uint32_t response_connection_window = 2 * 1024 * 1024;
};

inline constexpr Limits kLimits;

}  // namespace stele
