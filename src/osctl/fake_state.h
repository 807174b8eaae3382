// For tests: what the fake node answers with, and what it was asked.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "stele/machine/v1/event_service.pb.h"
#include "stele/machine/v1/file_service.pb.h"
#include "stele/machine/v1/network_service.pb.h"
#include "stele/machine/v1/resource_service.pb.h"
#include "stele/machine/v1/upgrade_service.pb.h"

namespace stele::osctl {

namespace v1 = stele::machine::v1;

// An upload of an image (fake_upgrade.h).
struct FakeStaging {
  std::string disk;                             // of the file, from its first byte
  std::set<uint64_t> cuts;                      // bytes of the file after which a call breaks, once each
  int busy = 0;                                 // so many calls after the first are refused
  absl::Duration delay = absl::ZeroDuration();  // before each chunk
  std::atomic<bool> under_way = false;
  int calls = 0;
  std::vector<uint64_t> offsets;  // that the node named, a call
  std::vector<uint64_t> sent;     // bytes in chunks, a call
};

// What the node sees of the network (fake_network.h).
struct FakeNet {
  std::vector<v1::PingResponse> pings;
  std::vector<v1::TraceRouteResponse> hops;
  v1::ResolveResponse resolved;
  v1::ProbeResponse probed;
  std::vector<v1::CaptureResponse> captured;
  bool endless = false;                    // streams go on until the client ends them
  std::atomic<bool> waiting = false;       // one has sent all that it has, and does
  std::atomic<int> cancelled = 0;          // streams that their client ended
  grpc::Status answer = grpc::Status::OK;  // of streams
};

// What the services answer with, and what they were asked. Guarded by `mutex`.
struct FakeState {
  // How long Version takes, and how many were under way at once. Set before the first call.
  absl::Duration version_takes = absl::ZeroDuration();
  std::atomic<int> versions_now = 0, versions_most = 0;
  std::mutex mutex;
  std::map<std::string, std::map<std::string, v1::Resource>> resources;  // type, id
  std::vector<std::string> calls;
  std::string boot_id = "boot-1";
  std::string log;                    // of every service
  size_t break_log_after = SIZE_MAX;  // bytes of one call, after which it ends with UNAVAILABLE
  int broken_logs = 0;                // how often it did
  bool cursors = false;               // a watch gives a cursor, and takes none
  std::vector<v1::Event> events;
  std::vector<v1::FileEntry> files;     // of every list
  std::vector<v1::Omission> omissions;  // of every answer about files
  std::string imported;
  std::string config = "kind: MachineConfig\n";
  std::string applied;                     // the last one
  grpc::Status answer = grpc::Status::OK;  // of every unary call
  FakeStaging staging;
  std::function<grpc::Status()> on_activate;  // what activating or rolling back does; with the lock held
  std::function<void()> on_get;               // before a resource is looked up; with the lock held
  std::string install_breaks_at;              // the step
  FakeNet net;
  std::vector<v1::FetchImageResponse> fetch;  // what is told of a fetch (fake_upgrade.h)

  void Record(std::string call) {
    std::lock_guard<std::mutex> lock(mutex);
    calls.push_back(std::move(call));
  }
};

}  // namespace stele::osctl
