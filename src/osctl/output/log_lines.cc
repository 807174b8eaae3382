#include "osctl/output/log_lines.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace stele::osctl {
namespace {

// Milliseconds: lines of one second have an order.
std::string TimeText(const google::protobuf::Timestamp& time) {
  absl::Time at = absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ", at, absl::UTCTimeZone());
}

}  // namespace

std::string LogLines::Render(const stele::machine::v1::ReadLogResponse& response) {
  absl::string_view data = response.data();
  std::string out;
  int mark = 0;
  for (size_t start = 0; start < data.size();) {
    for (; mark < response.marks_size() && response.marks(mark).offset() <= start; ++mark) {
      Take(response.marks(mark));
    }
    size_t end = data.find('\n', start);
    end = end == absl::string_view::npos ? data.size() : end + 1;
    absl::StrAppend(&out, prefix_);
    if (timestamps_ == Timestamps::kShow) absl::StrAppend(&out, time_, " ");
    absl::StrAppend(&out, name_, data.substr(start, end - start));
    start = end;
  }
  if (mark < response.marks_size()) Take(response.marks(response.marks_size() - 1));
  return out;
}

void LogLines::Take(const stele::machine::v1::TimeMark& mark) {
  time_ = mark.has_time() ? TimeText(mark.time()) : "-";
  name_ = mark.source() < names_.size() ? absl::StrCat("[", names_[mark.source()], "] ") : "";
}

}  // namespace stele::osctl
