#include "machined/security/revocations.h"

#include "base/file.h"
#include "machined/log.h"
#include "machined/security/kept_folder.h"
#include "services/apid.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxFile = 8 << 20;  // more than kMost entries can take

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  if (time != absl::InfiniteFuture()) out->set_seconds(absl::ToUnixSeconds(time));
}

}  // namespace

// Takes in what is kept. Once for each place: what was revoked while the list was in memory goes to the disk then.
absl::Status Revocations::Load() {
  std::string folder = folder_();
  if (folder.empty()) return absl::OkStatus();  // asked again when it is known
  std::string file = FolderBeside(folder, "revoked");
  if (file == file_) return absl::OkStatus();
  absl::StatusOr<std::string> text = ReadFile(file, kMaxFile);
  if (absl::IsNotFound(text.status())) text = std::string();
  if (!text.ok()) return Annotate(text.status(), "read which certificates are revoked");
  size_t passed_over = 0;
  RevocationList kept = RevocationList::Parse(*text, &passed_over);
  if (passed_over > 0) Log("error: ", file, ": ", passed_over, " lines cannot be read and are passed over");
  file_ = file;
  unpublished_ = true;
  bool more_here = kept.Merge(list_);
  list_ = std::move(kept);
  if (more_here) ++changes_;
  return absl::OkStatus();
}

services::ServiceFile Revocations::ApidFile() {
  if (absl::Status loaded = Load(); !loaded.ok()) Log("error: ", loaded.message());
  return services::ApidRevoked(list_.Serials());
}

absl::Status Revocations::Reconcile() {
  RETURN_IF_ERROR(Load());
  if (saved_ != changes_) Save();
  return unpublished_ ? Publish() : absl::OkStatus();
}

// To apid, and as resources.
absl::Status Revocations::Publish() {
  unpublished_ = true;
  std::map<std::string, resource::v1::Revocation> wanted;
  for (const auto& [serial, one] : list_.all()) {
    resource::v1::Revocation& body = wanted[serial];
    body.set_subject(one.subject);
    body.set_reason(one.reason);
    body.set_by(one.by);
    SetTime(one.revoked, body.mutable_revoked());
    if (one.not_after != absl::InfiniteFuture()) SetTime(one.not_after, body.mutable_not_after());
  }
  absl::Status put = node_->store().Replace(name(), wanted);
  services::ServiceFile file = services::ApidRevoked(list_.Serials());
  // Before its folder is there apid serves nobody, and finds the file with its keys.
  if (absl::Status written = ReplaceFile(file.path, *file.content, file.mode, file.uid, file.gid); !written.ok()) {
    if (!absl::IsNotFound(written)) put.Update(Annotate(written, "tell apid which certificates are revoked"));
  }
  unpublished_ = !put.ok();
  return put;
}

void Revocations::Revoke(const std::string& serial, Revocation revocation, Done done) {
  absl::Status loaded = Load();
  std::string told = absl::StrCat("the certificate of \"", revocation.subject, "\" is revoked, by ", revocation.by);
  absl::Status added = list_.Add(serial, std::move(revocation), absl::Now());
  if (added.code() == absl::StatusCode::kResourceExhausted) return done(added);
  bool already = !added.ok();
  if (!already) {
    ++changes_;
    unpublished_ = true;
    node_->Emit("certificate", serial, told, machine::v1::SEVERITY_WARNING);
  }
  // Whoever asks again, since it failed, must hear the truth, too.
  absl::Status published = unpublished_ ? Publish() : absl::OkStatus();
  if (!published.ok()) {
    Save();
    Wake();  // tried again until it is told
    return done(Annotate(published, "it is not refused yet, which is tried again"));
  }
  if (!loaded.ok()) return done(Annotate(loaded, "it is revoked until the node reboots, and cannot be kept"));
  if (file_.empty()) return done(absl::UnavailableError("it is revoked; the node still looks for where to keep it"));
  waiting_.push_back(
      {changes_, [done, already, until_reboot = !OutlivesReboots(file_)](absl::StatusOr<Revoked> result) {
         if (!result.ok()) return done(result.status());
         done(Revoked{already, until_reboot});
       }});
  Save();
}

void Revocations::Save() {
  if (saving_ || file_.empty()) return;  // what changed meanwhile is saved after it
  saving_ = true;
  auto status = std::make_shared<absl::Status>();
  node_->loop().RunBlocking(
      [status, file = file_, text = list_.File()] { *status = ReplaceFile(file, text, 0600); },
      [this, status, change = changes_] {
        saving_ = false;
        if (status->ok()) saved_ = change;
        std::vector<Waiting> later;
        for (Waiting& one : waiting_) {
          if (one.change > change) {
            later.push_back(std::move(one));
          } else if (status->ok()) {
            one.done(Revoked());
          } else {
            one.done(Annotate(*status, "it is revoked until the node reboots, and cannot be kept"));
          }
        }
        waiting_ = std::move(later);
        // Another place, too: the list was in memory when this was begun.
        if (!waiting_.empty() || (status->ok() && saved_ != changes_)) Save();
        if (!status->ok()) Log("error: keep which certificates are revoked: ", status->message());
      });
}

}  // namespace stele::machined
