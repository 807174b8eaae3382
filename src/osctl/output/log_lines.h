// A log's lines with a prefix: the node, the time.
#pragma once

#include <string>

#include "stele/machine/v1/log_service.pb.h"

namespace stele::osctl {

enum class Timestamps : unsigned char { kOmit, kShow };

// Of one node's stream: a time holds until the next mark, also into later chunks.
class LogLines {
 public:
  LogLines(std::string prefix, Timestamps timestamps) : prefix_(std::move(prefix)), timestamps_(timestamps) {}

  // Whether Render would give the data as it is.
  bool unchanged() const { return prefix_.empty() && timestamps_ == Timestamps::kOmit; }
  std::string Render(const stele::machine::v1::ReadLogResponse& response);

 private:
  std::string prefix_;
  Timestamps timestamps_;
  std::string time_ = "-";
};

}  // namespace stele::osctl
