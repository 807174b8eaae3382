#include "machined/image_import.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "github.com/containerd/containerd/api/services/images/v1/images.grpc.pb.h"
#include "github.com/containerd/containerd/api/services/streaming/v1/streaming.grpc.pb.h"
#include "github.com/containerd/containerd/api/services/transfer/v1/transfer.grpc.pb.h"
#include "github.com/containerd/containerd/api/types/transfer/imagestore.pb.h"
#include "github.com/containerd/containerd/api/types/transfer/importexport.pb.h"
#include "github.com/containerd/containerd/api/types/transfer/progress.pb.h"
#include "github.com/containerd/containerd/api/types/transfer/streaming.pb.h"

namespace stele::machined {
namespace {

namespace streaming = ::containerd::services::streaming::v1;
namespace transfer = ::containerd::services::transfer::v1;
namespace types = ::containerd::types::transfer;
using Any = google::protobuf::Any;
using Stream = grpc::ClientReaderWriter<Any, Any>;

constexpr char kNamespace[] = "k8s.io";  // the kubelet's
#if defined(__aarch64__)
constexpr char kArchitecture[] = "arm64";
#else
constexpr char kArchitecture[] = "amd64";
#endif
constexpr size_t kPiece = 32 * 1024;  // what containerd's own client sends at once
// After the last byte: unpacking a large image on a slow disk.
constexpr absl::Duration kFinishTimeout = absl::Minutes(10);
constexpr absl::Duration kConnectTimeout = absl::Seconds(10);
constexpr absl::Duration kProgressTimeout = absl::Seconds(5);
constexpr absl::Duration kAnnounceTimeout = absl::Seconds(30);

// Names an Any's type as containerd does: without a host.
template <typename Message>
Any Pack(absl::string_view type, const Message& message) {
  Any any;
  any.set_type_url(std::string(type));
  message.SerializeToString(any.mutable_value());
  return any;
}

absl::Status StatusOf(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

std::string NewId() {
  std::random_device random;
  return absl::StrCat("stele-", absl::Hex(random(), absl::kZeroPad8), absl::Hex(random(), absl::kZeroPad8));
}

// One of containerd's streams, registered under its id.
class NamedStream {
 public:
  NamedStream(streaming::Streaming::Stub& stub, const std::string& id) : id_(id) {
    context_.AddMetadata("containerd-namespace", kNamespace);
    stream_ = stub.Stream(&context_);
  }
  ~NamedStream() {
    // The call must have ended before the context goes.
    context_.TryCancel();
    if (!finished_) stream_->Finish();
  }

  // Waits until containerd knows the id: a transfer that names it earlier would fail.
  absl::Status Open() {
    streaming::StreamInit init;
    init.set_id(id_);
    Any acknowledged;
    if (stream_->Write(Pack("containerd.services.streaming.v1.StreamInit", init)) && stream_->Read(&acknowledged)) {
      return absl::OkStatus();
    }
    finished_ = true;
    return Annotate(StatusOf(stream_->Finish()), "open a stream to containerd");
  }

  Stream& operator*() { return *stream_; }
  const std::string& id() const { return id_; }
  // From any thread: ends what waits on the stream.
  void Cancel() { context_.TryCancel(); }

 private:
  std::string id_;
  grpc::ClientContext context_;
  std::unique_ptr<Stream> stream_;
  bool finished_ = false;
};

// The Transfer call on its own thread, since it lasts as long as the stream it reads.
class TransferCall {
 public:
  TransferCall(transfer::Transfer::Stub& stub, transfer::TransferRequest request, std::function<void()> on_end) {
    context_.AddMetadata("containerd-namespace", kNamespace);
    thread_ = std::thread([this, &stub, request = std::move(request), on_end = std::move(on_end)] {
      google::protobuf::Empty response;
      grpc::Status status = stub.Transfer(&context_, request, &response);
      {
        std::lock_guard<std::mutex> lock(mutex_);
        status_ = StatusOf(status);
        ended_ = true;
      }
      changed_.notify_all();
      on_end();
    });
  }
  ~TransferCall() {
    context_.TryCancel();
    thread_.join();
  }

  absl::Status Wait(absl::Duration timeout) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout), [this] { return ended_; })) {
      return absl::DeadlineExceededError("containerd does not finish the import");
    }
    return status_;
  }
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  absl::Status status_;
};

// Sends the archive, never more than containerd has asked for.
absl::Status SendArchive(Stream& stream, const ReadArchive& read) {
  int64_t window = 0;
  for (;;) {
    ASSIGN_OR_RETURN(std::string bytes, read());
    if (bytes.empty()) {
      stream.WritesDone();
      return absl::OkStatus();
    }
    absl::string_view rest = bytes;
    while (!rest.empty()) {
      while (window <= 0) {
        Any any;
        types::WindowUpdate update;
        if (!stream.Read(&any)) return absl::UnavailableError("containerd ended the stream");
        if (update.ParseFromString(any.value())) window += update.update();
      }
      types::Data data;
      size_t size = std::min({rest.size(), kPiece, static_cast<size_t>(window)});
      data.set_data(std::string(rest.substr(0, size)));
      if (!stream.Write(Pack("containerd.types.transfer.Data", data)))
        return absl::UnavailableError("containerd ended the stream");
      window -= static_cast<int64_t>(size);
      rest.remove_prefix(size);
    }
  }
}

google::protobuf::Map<std::string, std::string> LabelsOf(const ImportOptions& options) {
  google::protobuf::Map<std::string, std::string> labels;
  labels["io.cri-containerd.image"] = "managed";
  if (options.pinned) labels["io.cri-containerd.pinned"] = "pinned";
  return labels;
}

transfer::TransferRequest RequestOf(const ImportOptions& options, const std::string& archive,
                                    const std::string& progress) {
  types::ImageImportStream source;
  source.set_stream(archive);
  types::ImageStore destination;
  *destination.mutable_labels() = LabelsOf(options);
  // Takes the archive's own names; the prefix is for images that have none.
  types::ImageReference* names = destination.add_extra_references();
  names->set_name("import.stele.local/image");
  names->set_is_prefix(true);
  names->set_allow_overwrite(true);
  names->set_add_digest(true);
  names->set_skip_named_digest(true);
  types::UnpackConfiguration* unpack = destination.add_unpacks();
  unpack->mutable_platform()->set_os("linux");
  unpack->mutable_platform()->set_architecture(kArchitecture);
  unpack->set_snapshotter("overlayfs");  // as services/containerd.cc has it
  transfer::TransferRequest request;
  *request.mutable_source() = Pack("containerd.types.transfer.ImageImportStream", source);
  *request.mutable_destination() = Pack("containerd.types.transfer.ImageStore", destination);
  request.mutable_options()->set_progress_stream(progress);
  return request;
}

// containerd 1.7's transfer stores images without an event, and CRI, which listens for events, would
// not know them until its next start. Writing the labels that they have already makes one.
absl::Status AnnounceToCri(const std::shared_ptr<grpc::Channel>& channel, const std::string& name,
                           const ImportOptions& options) {
  auto images = ::containerd::services::images::v1::Images::NewStub(channel);
  grpc::ClientContext context;
  context.AddMetadata("containerd-namespace", kNamespace);
  context.set_deadline(absl::ToChronoTime(absl::Now() + kAnnounceTimeout));
  ::containerd::services::images::v1::UpdateImageRequest request;
  request.mutable_image()->set_name(name);
  *request.mutable_image()->mutable_labels() = LabelsOf(options);
  request.mutable_image()
      ->mutable_target();  // the mask leaves it alone, but containerd 1.7 crashes where there is none
  for (const auto& [label, value] : request.image().labels())
    request.mutable_update_mask()->add_paths(absl::StrCat("labels.", label));
  ::containerd::services::images::v1::UpdateImageResponse response;
  return Annotate(StatusOf(images->Update(&context, request, &response)), absl::StrCat("announce ", name));
}

// Which images were stored, as the progress stream says until containerd closes it.
std::vector<std::string> SavedNames(Stream& stream) {
  std::vector<std::string> names;
  Any any;
  while (stream.Read(&any)) {
    types::Progress progress;
    if (progress.ParseFromString(any.value()) && progress.event() == "saved" && !progress.name().empty()) {
      names.push_back(progress.name());
    }
  }
  return names;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ImportArchive(const ImportOptions& options, const ReadArchive& read) {
  // A channel of its own, so that a large import does not stand in the way of the pods' status.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto channel =
      grpc::CreateCustomChannel(absl::StrCat("unix:", options.socket), grpc::InsecureChannelCredentials(), arguments);
  if (!channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kConnectTimeout))) {
    return absl::UnavailableError(absl::StrCat("containerd does not answer at ", options.socket));
  }
  auto streams = streaming::Streaming::NewStub(channel);
  auto transfers = transfer::Transfer::NewStub(channel);
  NamedStream archive(*streams, NewId());
  RETURN_IF_ERROR(archive.Open());
  NamedStream progress(*streams, NewId());
  RETURN_IF_ERROR(progress.Open());
  std::vector<std::string> names;
  std::thread listener([&] { names = SavedNames(*progress); });

  absl::Status status;
  {
    // A transfer that fails early reads no more: nobody may wait for its window then.
    TransferCall call(*transfers, RequestOf(options, archive.id(), progress.id()), [&] { archive.Cancel(); });
    absl::Status sent = SendArchive(*archive, read);
    if (sent.ok() || absl::IsUnavailable(sent)) {
      status = call.Wait(kFinishTimeout);
      if (status.ok() && !sent.ok()) status = absl::OkStatus();  // an archive may have padding that nobody reads
    } else {
      call.Cancel();  // an archive cut short must not be taken for a whole one
      status = sent;
    }
  }
  // containerd closes the progress stream with the transfer; what it holds is read to its end.
  std::atomic<bool> listened = false;
  std::thread watch([&] {
    for (absl::Time end = absl::Now() + kProgressTimeout; !listened && absl::Now() < end;)
      absl::SleepFor(absl::Milliseconds(10));
    if (!listened || !status.ok()) progress.Cancel();
  });
  listener.join();
  listened = true;
  watch.join();
  if (!status.ok()) return Annotate(status, "import the image");
  if (names.empty()) return absl::InvalidArgumentError("the archive holds no image");
  for (const std::string& name : names) RETURN_IF_ERROR(AnnounceToCri(channel, name, options));
  return names;
}

absl::StatusOr<std::vector<std::string>> ImportFile(const ImportOptions& options, const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return ErrnoStatus("open ", path);
  return ImportArchive(options, [&]() -> absl::StatusOr<std::string> {
    std::string bytes(256 * 1024, '\0');
    ssize_t size = ::read(file.get(), bytes.data(), bytes.size());
    if (size < 0) return ErrnoStatus("read ", path);
    bytes.resize(static_cast<size_t>(size));
    return bytes;
  });
}

}  // namespace stele::machined
