#include "apid/http2.h"

#include <algorithm>

namespace stele::http2 {

Callbacks NewCallbacks() {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) std::abort();  // out of memory
  return Callbacks(callbacks);
}

Option NewOption() {
  nghttp2_option* option = nullptr;
  if (nghttp2_option_new(&option) != 0) std::abort();  // out of memory
  return Option(option);
}

std::vector<nghttp2_nv> Pairs(const Headers& headers) {
  std::vector<nghttp2_nv> pairs;
  pairs.reserve(headers.size());
  for (const auto& [name, value] : headers) {
    pairs.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                     reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                     NGHTTP2_NV_FLAG_NONE});
  }
  return pairs;
}

ssize_t NextBytes(Flow& flow, size_t length, uint32_t* data_flags, bool& last) {
  last = false;
  if (flow.bytes.empty() && !flow.ended) {
    flow.deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  size_t size = std::min(length, flow.bytes.size());
  if (size > 0) *data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  last = flow.ended && size == flow.bytes.size();
  if (last) *data_flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(size);
}

ssize_t FrameLength(nghttp2_session*, uint8_t, int32_t, int32_t session_window, int32_t stream_window,
                    uint32_t max_frame, void*) {
  constexpr int64_t kLargest = 64 * 1024;
  return static_cast<ssize_t>(std::max<int64_t>(
      1, std::min<int64_t>({session_window, stream_window, static_cast<int64_t>(max_frame), kLargest})));
}

void Resume(nghttp2_session* session, int32_t stream, Flow& flow) {
  if (!flow.deferred) return;
  flow.deferred = false;
  nghttp2_session_resume_data(session, stream);  // fails only where the stream is gone
}

}  // namespace stele::http2
