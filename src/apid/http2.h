// Small helpers over nghttp2 that both ends need.
#pragma once

#include <nghttp2/nghttp2.h>

#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "apid/call.h"
#include "apid/grpc_wire.h"

namespace stele::http2 {

struct FreeSession {
  void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
};
using Session = std::unique_ptr<nghttp2_session, FreeSession>;
struct FreeCallbacks {
  void operator()(nghttp2_session_callbacks* callbacks) const { nghttp2_session_callbacks_del(callbacks); }
};
using Callbacks = std::unique_ptr<nghttp2_session_callbacks, FreeCallbacks>;
struct FreeOption {
  void operator()(nghttp2_option* option) const { nghttp2_option_del(option); }
};
using Option = std::unique_ptr<nghttp2_option, FreeOption>;

Callbacks NewCallbacks();
Option NewOption();

// Borrows the headers: nghttp2 copies them when they are submitted.
std::vector<nghttp2_nv> Pairs(const Headers& headers);

inline absl::string_view View(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }

// A data source's answer for `flow`: how many bytes come next, or that it waits. Sets `last` where
// nothing follows them. The bytes themselves are taken by TakeFrame.
ssize_t NextBytes(Flow& flow, size_t length, uint32_t* data_flags, bool& last);

// Appends a DATA frame with the flow's next `length` bytes to `out`.
template <typename Out>
void TakeFrame(Flow& flow, const uint8_t* frame_header, size_t length, Out& out) {
  out.Append(frame_header, 9);
  out.Append(flow.bytes.data(), length);
  flow.bytes.Pop(length);
}

// Frames as large as windows and peer allow, up to 64 KiB: nghttp2's own default is 16.
ssize_t FrameLength(nghttp2_session* session, uint8_t frame_type, int32_t stream, int32_t session_window,
                    int32_t stream_window, uint32_t max_frame, void* user);

// Tells `session` that `flow` has something again.
void Resume(nghttp2_session* session, int32_t stream, Flow& flow);

}  // namespace stele::http2
