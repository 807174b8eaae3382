// A call with messages both ways. Made by Node::Begin.
#pragma once

#include <google/protobuf/message_lite.h>

#include <memory>
#include <utility>

#include "base/status.h"

namespace stele::osctl {

// One thread may write while another one reads.
class RawConversation {
 public:
  virtual ~RawConversation() = default;
  virtual bool Write(const google::protobuf::MessageLite& request) = 0;
  virtual bool Read(google::protobuf::MessageLite* response) = 0;
  virtual void WritesDone() = 0;
  virtual void Cancel() = 0;
  virtual absl::Status Finish() = 0;
};

template <typename Request, typename Response>
class Conversation {
 public:
  explicit Conversation(std::unique_ptr<RawConversation> raw) : raw_(std::move(raw)) {}

  // Waits until the message is on its way: what is not sent yet stays with the caller. False: the call
  // has ended, and Finish says why.
  bool Write(const Request& request) { return raw_->Write(request); }
  // False: the node sends no more.
  bool Read(Response* response) { return raw_->Read(response); }
  // Nothing will follow.
  void WritesDone() { raw_->WritesDone(); }
  // Ends the call from any thread; Read and Write answer false soon after.
  void Cancel() { raw_->Cancel(); }
  // How the call ended. Once, when Read has answered false and nobody writes.
  absl::Status Finish() { return raw_->Finish(); }

 private:
  std::unique_ptr<RawConversation> raw_;
};

}  // namespace stele::osctl
