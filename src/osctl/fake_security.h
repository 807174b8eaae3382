// For tests: the fake node's list of revoked certificates.
#pragma once

#include <grpcpp/grpcpp.h>

#include <set>

#include "osctl/fake_state.h"
#include "stele/machine/v1/security_service.grpc.pb.h"

namespace stele::osctl {

class FakeSecurity : public v1::SecurityService::Service {
 public:
  explicit FakeSecurity(FakeState* state) : state_(state) {}
  grpc::Status RevokeCertificate(grpc::ServerContext*, const v1::RevokeCertificateRequest* request,
                                 v1::RevokeCertificateResponse* response) override {
    state_->Record(absl::StrCat("revoke ", request->ShortDebugString()));
    std::lock_guard<std::mutex> lock(state_->mutex);
    response->set_already(!revoked_.insert(request->serial()).second);
    response->set_until_reboot(true);
    return state_->answer;
  }

 private:
  FakeState* state_;
  std::set<std::string> revoked_;
};

}  // namespace stele::osctl
