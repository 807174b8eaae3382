#include "apid/keys.h"

#include <openssl/crypto.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <utility>

#include "base/file.h"

namespace stele {
namespace {

constexpr size_t kMaxFile = 1 << 20;
constexpr char kIdentity[] = "/tls.pem";
constexpr char kClientCa[] = "/client-ca.crt";

// Empty where there is none (yet).
absl::StatusOr<std::string> ReadIfThere(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path, kMaxFile);
  if (absl::IsNotFound(text.status())) return std::string();
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Keys>> Keys::Watch(EventLoop& loop, Audit& audit, std::string directory) {
  UniqueFd changes(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!changes.ok() || ::inotify_add_watch(changes.get(), directory.c_str(), IN_MOVED_TO | IN_CLOSE_WRITE) < 0) {
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
  absl::StatusOr<std::string> identity = ReadIfThere(directory_ + kIdentity);
  absl::StatusOr<std::string> client_ca = ReadIfThere(directory_ + kClientCa);
  absl::StatusOr<TlsContext> made = absl::NotFoundError("");
  if (!identity.ok()) {
    made = identity.status();
  } else if (!client_ca.ok()) {
    made = client_ca.status();
  } else if (identity->empty() || client_ca->empty()) {
    return;  // the other one is on its way
  } else {
    made = TlsContext::Create(*identity, *client_ca);
    OPENSSL_cleanse(identity->data(), identity->size());
  }
  if (!made.ok()) {
    return audit_.WriteNote(absl::StrCat(
        "the keys in ", directory_, " cannot be used, ",
        current_.has_value() ? "those before them stay: " : "nobody is served: ", made.status().message()));
  }
  if (current_.has_value() && client_ca_ == *client_ca && current_->HasCertificateOf(*made)) return;
  News news = !current_.has_value() ? News::kFirst : client_ca_ != *client_ca ? News::kClientCa : News::kCertificate;
  current_ = *std::move(made);
  client_ca_ = *std::move(client_ca);
  changed_(news);
}

}  // namespace stele
