// A log's lines with a prefix: the node, the log's name, the time.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "stele/machine/v1/log_service.pb.h"

namespace stele::osctl {

enum class Timestamps : unsigned char { kOmit, kShow };

// Of one node's stream: a mark holds until the next, also into later chunks.
class LogLines {
 public:
  // `names` of the logs, by their numbers, where there are several.
  LogLines(std::string prefix, Timestamps timestamps, std::vector<std::string> names = {})
      : prefix_(std::move(prefix)), timestamps_(timestamps), names_(std::move(names)) {}

  // Whether Render would give the data as it is.
  bool unchanged() const { return prefix_.empty() && timestamps_ == Timestamps::kOmit && names_.empty(); }
  std::string Render(const stele::machine::v1::ReadLogResponse& response);

 private:
  void Take(const stele::machine::v1::TimeMark& mark);

  std::string prefix_;
  Timestamps timestamps_;
  std::vector<std::string> names_;
  std::string name_;  // "[kubelet] "
  std::string time_ = "-";
};

}  // namespace stele::osctl
