#include "apid/keys.h"

#include <openssl/sha.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_split.h"
#include "base/file.h"

namespace stele {
namespace {

// Empty where there is none.
absl::StatusOr<std::string> ReadIfThere(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (absl::IsNotFound(text.status())) return std::string();
  return text;
}

std::string HashOf(const std::string& text) {
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash);
  return {reinterpret_cast<const char*>(hash), sizeof hash};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Keys>> Keys::Watch(EventLoop& loop, Audit& audit, std::string directory) {
  UniqueFd changes(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!changes.ok() || ::inotify_add_watch(changes.get(), directory.c_str(), IN_MOVED_TO) < 0) {
    return ErrnoStatus("watch the folder of keys ", directory);
  }
  // What this costs is spent before the keys come.
  RETURN_IF_ERROR(TlsContext::Prepare());
  std::unique_ptr<Keys> keys(new Keys(loop, audit, std::move(directory), std::move(changes)));
  RETURN_IF_ERROR(loop.Add(keys->changes_.get(), EPOLLIN, keys.get()));
  keys->Read();
  if (keys->current() == nullptr) audit.WriteNote(absl::StrCat("waits for its keys in ", keys->directory_));
  return keys;
}

Keys::Keys(EventLoop& loop, Audit& audit, std::string directory, UniqueFd changes)
    : loop_(loop), audit_(audit), directory_(std::move(directory)), changes_(std::move(changes)) {}

Keys::~Keys() { loop_.Remove(changes_.get(), this); }

void Keys::OnReady(uint32_t) {
  alignas(inotify_event) char events[4096];
  while (::read(changes_.get(), events, sizeof events) > 0) {
  }
  Read();
}

void Keys::Read() {
  absl::StatusOr<Files> files = ReadFiles();
  unread_ = !files.ok();
  if (!files.ok()) return TellOnce(files.status());
  // Before the keys: who is served from then on is judged by these.
  if (files->revoked != revoked_file_ && AddRevoked(files->revoked)) {
    audit_.WriteNote(absl::StrCat(revoked_.size(), " client certificates are revoked"));
    changed_(News::kRevoked);
  }
  if (files->roles != roles_file_) {
    roles_file_ = files->roles;
    roles_ = Roles(roles_file_);
    audit_.WriteNote("new roles");
    changed_(News::kRoles);
  }
  if (files->identity.empty() || files->client_ca.empty()) return;  // it is on its way
  std::string before = std::exchange(seen_, HashOf(files->identity) + HashOf(files->client_ca));
  if (seen_ == before) return;
  absl::StatusOr<TlsContext> made = ContextOf(*files);
  if (!made.ok()) return TellOnce(made.status());
  News news = !current_.has_value() ? News::kFirst : made->TrustsAllOf(*current_) ? News::kMore : News::kCaGone;
  current_ = *std::move(made);
  current_->Refuse(&revoked_);
  changed_(news);
}

absl::StatusOr<Keys::Files> Keys::ReadFiles() const {
  Files files;
  ASSIGN_OR_RETURN(files.identity, ReadIfThere(directory_ + "/tls.pem"));
  ASSIGN_OR_RETURN(files.client_ca, ReadIfThere(directory_ + "/client-ca.crt"));
  ASSIGN_OR_RETURN(files.revoked, ReadIfThere(directory_ + "/revoked"));
  ASSIGN_OR_RETURN(files.roles, ReadIfThere(directory_ + "/roles"));
  return files;
}

// True when there are more.
bool Keys::AddRevoked(const std::string& text) {
  size_t before = revoked_.size();
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) revoked_.emplace(line);
  revoked_file_ = text;
  return revoked_.size() > before;
}

absl::StatusOr<TlsContext> Keys::ContextOf(const Files& files) {
  absl::StatusOr<TlsContext> made = TlsContext::Create(files.identity, files.client_ca);
  if (made.ok()) problem_.clear();
  if (made.ok() || !current_.has_value()) return made;
  TellOnce(made.status());
  return current_->WithClientCa(files.client_ca);
}

void Keys::TellOnce(const absl::Status& problem) {
  std::string told =
      absl::StrCat("the keys in ", directory_, " cannot be used, ",
                   current_.has_value() ? "those before them stay: " : "nobody is served: ", problem.message());
  if (told == problem_) return;
  audit_.WriteNote(told);
  problem_ = std::move(told);
}

}  // namespace stele
