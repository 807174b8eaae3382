// A unary call that waits for somebody else, such as containerd: on a thread of its own, so many at a time and no more.
// Includes gRPC: for *_service.cc only.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>

#include "absl/strings/str_cat.h"
#include "machined/grpc_status.h"
#include "machined/own_thread.h"

namespace stele::machined {

// The places of a service's calls. Any thread.
class CallPlaces {
 public:
  explicit CallPlaces(int most) : free_(most), most_(most) {}
  bool Take() {
    if (free_.fetch_sub(1) > 0) return true;
    free_.fetch_add(1);
    return false;
  }
  void Give() { free_.fetch_add(1); }
  int most() const { return most_; }

 private:
  std::atomic<int> free_;
  const int most_;
};

// Deletes itself in OnDone. `work` runs on the call's thread and outlives neither it nor the service.
class WorkCall : public grpc::ServerUnaryReactor {
 public:
  WorkCall(CallPlaces& places, std::function<absl::Status()> work) {
    if (!places.Take()) {
      Finish({grpc::StatusCode::RESOURCE_EXHAUSTED,
              absl::StrCat(places.most(), " calls of this kind are at work already: try again when one is done")});
      return;
    }
    absl::Status started = thread_.Start([this, &places, work = std::move(work)] {
      absl::Status status = work();
      places.Give();
      Finish(ToGrpc(status));
    });
    if (started.ok()) return;
    places.Give();
    Finish(ToGrpc(started));
  }

  void OnDone() override {
    thread_.End();
    delete this;
  }

 private:
  OwnThread thread_;
};

}  // namespace stele::machined
