#include "machined/cri_controller.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "machined/image_import.h"
#include "services/containerd.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kInterval = absl::Seconds(2);
constexpr absl::Duration kTimeout = absl::Seconds(10);
constexpr absl::Duration kImportPause = absl::Seconds(5);
// Until the first answer the kubelet waits for the pause image, so the looks are closer.
constexpr absl::Duration kFirstInterval = absl::Milliseconds(250);

}  // namespace

// What a worker brings back.
struct CriController::Look {
  absl::StatusOr<CriSnapshot> snapshot = absl::UnknownError("not looked yet");
};

CriController::CriController(CriPaths paths) : paths_(std::move(paths)) {}

CriController::~CriController() { *alive_ = false; }

absl::Status CriController::Reconcile() {
  if (looking_ || timer_ != 0) return absl::OkStatus();
  // Asking a socket that is not there would only make gRPC wait longer before it tries again.
  if (::access(paths_.socket.c_str(), F_OK) != 0) {
    LookAgainAfter(answered_ ? kInterval : kFirstInterval);
    return absl::OkStatus();
  }
  looking_ = true;
  if (client_ == nullptr) client_ = CriClient::Create(paths_.socket);  // not before: a channel takes a while at boot
  auto look = std::make_shared<Look>();
  node_->loop().RunBlocking([look, client = client_] { look->snapshot = client->List(kTimeout); },
                            [this, look, alive = alive_] {
                              if (*alive) OnLooked(*look);
                            });
  return absl::OkStatus();
}

void CriController::OnLooked(const Look& look) {
  looking_ = false;
  if (look.snapshot.ok()) {
    answered_ = true;
    Store& store = node_->store();
    absl::Status status = store.Replace(name(), look.snapshot->pods);
    if (status.ok()) status = store.Replace(name(), look.snapshot->containers);
    if (status.ok()) status = store.Replace(name(), look.snapshot->images);
    if (!status.ok()) node_->Emit("system", name(), status.message(), machine::v1::SEVERITY_ERROR);
    if (!look.snapshot->HasImage(services::kPauseImage)) ImportPause();
  }
  LookAgainAfter(answered_ ? kInterval : kFirstInterval);
}

void CriController::ImportPause() {
  if (importing_ || absl::Now() < next_import_) return;
  importing_ = true;
  auto result = std::make_shared<absl::StatusOr<std::vector<std::string>>>();
  node_->loop().RunBlocking(
      [result, paths = paths_] {
        *result = ImportFile({paths.socket, /*pinned=*/true}, paths.pause_archive);
      },
      [this, result, alive = alive_] {
        if (!*alive) return;
        importing_ = false;
        next_import_ = absl::Now() + kImportPause;  // CRI may need a moment to see it; a failure is tried again
        std::string error = result->ok() ? "" : std::string(result->status().message());
        if (result->ok()) node_->Emit("image", absl::StrJoin(**result, " "), "imported");
        if (error != import_error_ && !error.empty()) {
          node_->Emit("image", services::kPauseImage, error, machine::v1::SEVERITY_ERROR);
        }
        import_error_ = error;
        if (timer_ != 0) node_->loop().Cancel(std::exchange(timer_, 0));
        LookAgainAfter(kFirstInterval);
      });
}

void CriController::LookAgainAfter(absl::Duration delay) {
  if (timer_ != 0) return;
  timer_ = node_->loop().After(delay, [this, alive = alive_] {
    if (!*alive) return;
    timer_ = 0;
    Wake();
  });
}

}  // namespace stele::machined
