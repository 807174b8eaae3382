#include "machined/own_thread.h"

#include <pthread.h>

#include <system_error>
#include <utility>

namespace stele::machined {

absl::Status OwnThread::Start(std::function<void()> work) {
  try {
    thread_ = std::thread([work = std::move(work)] {
      ::pthread_setname_np(::pthread_self(), "call");  // else it has the name of gRPC's thread that made it
      work();
    });
  } catch (const std::system_error&) {
    return absl::ResourceExhaustedError("no thread for the call: the node has too many processes");
  }
  return absl::OkStatus();
}

void OwnThread::End() {
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else if (thread_.joinable()) {
    thread_.join();
  }
}

}  // namespace stele::machined
