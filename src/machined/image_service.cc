// ImageService: takes an image archive from a client and gives it to containerd.
//
// One import at a time, on a thread of its own: it asks gRPC for the next chunk only when containerd
// has taken the one before, so a fast client waits and nothing piles up here.
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "machined/api.h"
#include "machined/caller.h"
#include "machined/cri_client.h"
#include "machined/grpc_status.h"
#include "machined/image_import.h"
#include "machined/image_in_use.h"
#include "machined/work_call.h"
#include "services/containerd.h"
#include "stele/machine/v1/image_service.grpc.pb.h"

namespace stele::machined {
namespace {

using machine::v1::ImportImageRequest;
using machine::v1::ImportImageResponse;
using machine::v1::RemoveImageRequest;
using machine::v1::RemoveImageResponse;

constexpr uint64_t kMaxBytes = 4ULL << 30;
constexpr absl::Duration kIdleTimeout = absl::Seconds(30);
constexpr int kMostCalls = 4;  // of RemoveImage

// One call. gRPC's threads bring chunks, the import's thread takes them. Deletes itself in OnDone.
class ImportCall : public grpc::ServerReadReactor<ImportImageRequest> {
 public:
  ImportCall(NodeApi& api, grpc::CallbackServerContext* context, ImportImageResponse* response,
             std::shared_ptr<std::atomic<bool>> busy)
      : api_(api), context_(context), response_(response), busy_(std::move(busy)), caller_(CallerOf(*context)) {
    if (busy_->exchange(true)) {
      busy_ = nullptr;
      Finish({grpc::StatusCode::RESOURCE_EXHAUSTED, "another image is being imported: try again when it is done"});
      return;
    }
    absl::Status started = thread_.Start([this] { Run(); });
    if (started.ok()) return;
    busy_->store(false);
    Finish(ToGrpc(started));
  }

  void OnReadDone(bool ok) override {
    std::lock_guard<std::mutex> lock(mutex_);
    ended_ = !ok;
    arrived_ = true;
    changed_.notify_all();
  }

  void OnCancel() override {
    std::lock_guard<std::mutex> lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }

  void OnDone() override {
    thread_.End();
    delete this;
  }

 private:
  // Import's thread.
  void Run() {
    absl::StatusOr<std::vector<std::string>> names =
        ImportArchive({services::kContainerdSocket}, [this] { return NextChunk(); });
    absl::Status status = names.status();
    // A client that went away in the middle may look like one that had sent everything.
    if (status.ok() && context_->IsCancelled()) status = absl::CancelledError("the client went away");
    if (status.ok()) {
      for (const std::string& name : *names) response_->add_names(name);
      response_->set_bytes(bytes_);
      api_.node.loop().Post([node = &api_.node, names = absl::StrJoin(*names, " "), caller = caller_] {
        node->Emit("image", names, absl::StrCat("imported by ", caller));
      });
    }
    busy_->store(false);
    Finish(ToGrpc(status));
  }

  absl::StatusOr<std::string> NextChunk() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      arrived_ = false;
      StartRead(&request_);
      if (!changed_.wait_for(lock, absl::ToChronoNanoseconds(kIdleTimeout),
                             [this] { return arrived_ || cancelled_; })) {
        return absl::DeadlineExceededError("no byte of the image arrived for 30 s");
      }
      if (cancelled_) return absl::CancelledError("the client went away");
      if (ended_) return std::string();
      bytes_ += request_.chunk().size();
      if (bytes_ > kMaxBytes) return absl::ResourceExhaustedError("an image archive may have at most 4 GiB");
      if (!request_.chunk().empty()) return std::move(*request_.mutable_chunk());
    }
  }

  NodeApi& api_;
  grpc::CallbackServerContext* context_;
  ImportImageResponse* response_;
  std::shared_ptr<std::atomic<bool>> busy_;  // null when another call has it
  std::string caller_;
  ImportImageRequest request_;
  uint64_t bytes_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool arrived_ = false;
  bool ended_ = false;
  bool cancelled_ = false;
  OwnThread thread_;
};

class ImageService final : public machine::v1::ImageService::CallbackService {
 public:
  explicit ImageService(NodeApi& api) : api_(api) {}

  grpc::ServerReadReactor<ImportImageRequest>* ImportImage(grpc::CallbackServerContext* context,
                                                           ImportImageResponse* response) override {
    return new ImportCall(api_, context, response, busy_);
  }

  grpc::ServerUnaryReactor* RemoveImage(grpc::CallbackServerContext* context, const RemoveImageRequest* request,
                                        RemoveImageResponse* response) override {
    return new WorkCall(places_, [this, request, response, caller = CallerOf(*context)] {
      return Remove(*request, caller, *response);
    });
  }

 private:
  absl::Status Remove(const RemoveImageRequest& request, const std::string& caller, RemoveImageResponse& response) {
    using Found = absl::StatusOr<resource::v1::Image>;
    ASSIGN_OR_RETURN(resource::v1::Image image, OnOwner<Found>(api_.node.loop(), [&] {
                       return ImageToRemove(api_.node.store(), request.image(), request.force());
                     }));
    RETURN_IF_ERROR(machined::RemoveImage(services::kContainerdSocket, image.image_id()));
    *response.mutable_names() = image.names();
    response.set_size_bytes(image.size_bytes());
    std::string name = image.names().empty() ? image.image_id() : image.names(0);
    api_.node.loop().Post(
        [node = &api_.node, name, caller] { node->Emit("image", name, absl::StrCat("removed by ", caller)); });
    return absl::OkStatus();
  }

  NodeApi& api_;
  CallPlaces places_{kMostCalls};
  std::shared_ptr<std::atomic<bool>> busy_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

std::unique_ptr<grpc::Service> MakeImageService(NodeApi& api) { return std::make_unique<ImageService>(api); }

}  // namespace stele::machined
