// SecurityService: revokes client certificates.
#include "machined/api.h"
#include "machined/caller.h"
#include "machined/grpc_status.h"
#include "machined/security/revocations.h"
#include "stele/machine/v1/security_service.grpc.pb.h"

namespace stele::machined {
namespace {

using machine::v1::RevokeCertificateRequest;
using machine::v1::RevokeCertificateResponse;

class SecurityService final : public machine::v1::SecurityService::CallbackService {
 public:
  explicit SecurityService(NodeApi& api) : api_(api) {}

  grpc::ServerUnaryReactor* RevokeCertificate(grpc::CallbackServerContext* context,
                                              const RevokeCertificateRequest* request,
                                              RevokeCertificateResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    absl::StatusOr<std::string> serial = CanonicalSerial(request->serial());
    absl::Status checked = serial.status();
    if (request->subject().size() > RevocationList::kMaxText || request->reason().size() > RevocationList::kMaxText) {
      checked.Update(absl::InvalidArgumentError(
          absl::StrCat("subject and reason have at most ", RevocationList::kMaxText, " bytes each")));
    }
    if (!checked.ok()) {
      reactor->Finish(ToGrpc(checked));
      return reactor;
    }
    Revocation revocation = {.revoked = absl::Now(), .subject = request->subject(), .reason = request->reason()};
    revocation.by = CallerOf(*context);
    if (request->has_not_after()) revocation.not_after = absl::FromUnixSeconds(request->not_after().seconds());
    api_.node.loop().Post([this, reactor, response, serial = *serial, revocation = std::move(revocation)] {
      api_.revocations.Revoke(serial, revocation,
                              [reactor, response](const absl::StatusOr<Revocations::Revoked>& done) {
                                if (!done.ok()) return reactor->Finish(ToGrpc(done.status()));
                                response->set_already(done->already);
                                response->set_until_reboot(done->until_reboot);
                                reactor->Finish(grpc::Status::OK);
                              });
    });
    return reactor;
  }

 private:
  NodeApi& api_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeSecurityService(NodeApi& api) { return std::make_unique<SecurityService>(api); }

}  // namespace stele::machined
