// One forwarded call: a stream of the client's HTTP/2 session joined to one of machined's.
//
//   client ──request──▶ queue ──▶ machined        Each queue is filled by one session and emptied by
//   client ◀── queue ◀──response── machined       the other. What was taken out is credited to the
//                                                 filler's window; so a slow reader stops the writer.
#pragma once

#include <cstdint>
#include <string>

#include "apid/byte_queue.h"
#include "apid/grpc_wire.h"
#include "apid/limits.h"

namespace stele {

class Upstream;

// One direction of a call.
struct Flow {
  ByteQueue bytes;
  bool ended = false;     // nothing will be added
  bool deferred = false;  // the emptying session found nothing and waits to be told of more
};

struct Call {
  int32_t client_stream = 0;
  bool client_open = true;  // the client's stream exists

  Upstream* upstream = nullptr;  // the session it was submitted to, while that lives
  int32_t upstream_stream = -1;
  bool upstream_open = false;

  Headers headers;  // of the request, then each header block of the response as it arrives
  size_t header_bytes = 0;
  bool headers_too_large = false;
  bool request_complete = false;  // its headers were seen and decided upon

  Flow request;
  Flow response;
  Headers trailers;
  bool response_started = false;   // headers were submitted to the client
  bool response_finished = false;  // so was the end of the stream, or its end is queued
  MessageMeter meter{kLimits.message_bytes};

  // For the audit.
  std::string path;
  bool allowed = false;
  std::string grpc_status;
  int64_t started_ms = 0;
  int64_t wait_until_ms = 0;  // while it waits for machined
};

}  // namespace stele
