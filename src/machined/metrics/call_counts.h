// How often each method of the API was called, how that ended, and how long it took.
//
// Calls that apid refused do not get here: the audit log has them.
#pragma once

#include <grpcpp/grpcpp.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "machined/metrics/metric_writer.h"

namespace stele::machined {

// Any thread.
class CallCounts {
 public:
  // `timed`: its duration means something, as a stream's does not.
  void Count(const std::string& method, grpc::StatusCode code, absl::Duration took, bool timed);
  void Write(MetricWriter& writer) const;

  // The process's own. Never destroyed: gRPC's threads outlive main.
  static CallCounts& Instance();
  // Counts every call of the server it is given to.
  static std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> Interceptors();

 private:
  static constexpr std::array<double, 7> kBounds = {0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10};  // seconds
  struct Row {
    std::map<grpc::StatusCode, uint64_t> ended;
    std::array<uint64_t, kBounds.size() + 1> at_most{};  // the last: all that were timed
    double seconds = 0;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Row> methods_;  // as many as the server has
};

}  // namespace stele::machined
