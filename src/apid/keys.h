// What apid proves itself and its clients with, as it lies in a folder that machined writes:
//
//   tls.pem        our certificate, leaf first, and its key: one file, so that nobody sees one without the other
//   client-ca.crt  the CA that clients must come from
//
// The folder may be empty: apid starts before machined has found the configuration, and serves once the keys are there.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "apid/audit.h"
#include "apid/tls.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace stele {

class Keys : private FdHandler {
 public:
  enum class News { kFirst, kCertificate, kClientCa };
  using Changed = std::function<void(News)>;

  // Watches `directory`, which must be there, from now on. Keys that cannot be used are told in `audit`, and those
  // before them stay. Borrows `loop` and `audit`.
  static absl::StatusOr<std::unique_ptr<Keys>> Watch(EventLoop& loop, Audit& audit, std::string directory);
  ~Keys() override;

  // nullptr until there are keys. Connections keep what they began with.
  const TlsContext* current() const { return current_.has_value() ? &*current_ : nullptr; }
  // Called on the loop's thread when current() is another.
  void OnChange(Changed changed) { changed_ = std::move(changed); }

 private:
  Keys(EventLoop& loop, Audit& audit, std::string directory, UniqueFd changes);
  void OnReady(uint32_t) override;
  void Read();

  EventLoop& loop_;
  Audit& audit_;
  std::string directory_;
  UniqueFd changes_;
  std::optional<TlsContext> current_;
  std::string client_ca_;  // current_'s
  Changed changed_ = [](News) {};
};

}  // namespace stele
