// What apid proves itself and its clients with, as it lies in a folder that machined writes:
//
//   tls.pem        our certificate, leaf first, and its key: one file, so that nobody sees one without the other
//   client-ca.crt  the CAs that clients must come from
//   revoked        serial numbers of clients' certificates that are taken no more, a line each
//   roles          the narrow roles of the configuration (roles.h)
//
// The folder may be empty: apid starts before machined has found the configuration, and serves once the keys are there.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "apid/audit.h"
#include "apid/roles.h"
#include "apid/tls.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace stele {

class Keys : private FdHandler {
 public:
  enum class News {
    kFirst,
    kMore,     // another certificate of ours, or a further client CA: nothing to who is connected
    kCaGone,   // a client CA is trusted no more
    kRevoked,  // more certificates are
    kRoles,    // narrow roles are others
  };
  using Changed = std::function<void(News)>;

  // Watches `directory`, which must be there, from now on; files are replaced in it by a rename. Borrows `loop` and
  // `audit`. What cannot be used is told in `audit` once and leaves what is served with, except that a client CA which
  // is gone is gone whatever else is wrong.
  static absl::StatusOr<std::unique_ptr<Keys>> Watch(EventLoop& loop, Audit& audit, std::string directory);
  ~Keys() override;

  // nullptr until there are keys. Connections keep what they began with.
  const TlsContext* current() const { return current_.has_value() ? &*current_ : nullptr; }
  // Certificates that are taken no more. What was in the file once stays until apid ends.
  const std::set<std::string>& revoked() const { return revoked_; }
  const Roles& roles() const { return roles_; }
  // Called on the loop's thread when current(), revoked() or roles() are others.
  void OnChange(Changed changed) { changed_ = std::move(changed); }

  // The files could not be read (no descriptor, no memory): somebody must call Read again, after a moment.
  bool unread() const { return unread_; }
  void Read();

 private:
  // What lies in the folder; empty where there is no such file (yet).
  struct Files {
    std::string identity, client_ca, revoked, roles;
  };
  Keys(EventLoop& loop, Audit& audit, std::string directory, UniqueFd changes);
  void OnReady(uint32_t) override;
  absl::StatusOr<Files> ReadFiles() const;
  bool AddRevoked(const std::string& text);
  absl::StatusOr<TlsContext> ContextOf(const Files& files);
  void TellOnce(const absl::Status& problem);

  EventLoop& loop_;
  Audit& audit_;
  std::string directory_;
  UniqueFd changes_;
  std::string seen_;  // a hash of the files that were last looked at
  bool unread_ = false;
  std::string problem_;                    // the one that was last told
  std::string revoked_file_, roles_file_;  // as they were read
  std::set<std::string> revoked_;
  Roles roles_;
  std::optional<TlsContext> current_;
  Changed changed_ = [](News) {};
};

}  // namespace stele
