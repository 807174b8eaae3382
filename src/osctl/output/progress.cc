#include "osctl/output/progress.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(200);  // between two sights of it
// Before that a rate is a guess, and the time left by it a wild one.
constexpr absl::Duration kRateKnown = absl::Seconds(1);

// What a node says never steers the terminal.
std::string Plain(absl::string_view text) {
  std::string plain(text);
  for (char& c : plain) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return plain;
}

}  // namespace

double Meter::BytesPerSecond(absl::Time now) const {
  return static_cast<double>(moved()) / std::max(absl::ToDoubleSeconds(now - began_), 1e-3);
}

std::string Meter::Rate(absl::Time now) const {
  return absl::StrCat(HumanBytes(static_cast<uint64_t>(BytesPerSecond(now))), "/s");
}

std::string Meter::Text(absl::Time now) const {
  std::string text = HumanBytes(done_);
  if (total_ != 0) absl::StrAppendFormat(&text, " of %s, %d%%", HumanBytes(total_), 100 * done_ / total_);
  absl::StrAppend(&text, ", ", Rate(now));
  if (total_ > done_ && moved() > 0 && now - began_ >= kRateKnown) {
    absl::Duration left = absl::Seconds(static_cast<double>(total_ - done_) / BytesPerSecond(now));
    absl::StrAppend(&text, ", ", HumanDuration(absl::Ceil(left, absl::Seconds(1))), " left");
  }
  return text;
}

std::string Meter::Short(absl::Time now) const {
  if (total_ == 0) return absl::StrCat(HumanBytes(done_), " ", Rate(now));
  return absl::StrFormat("%d%% %s", 100 * done_ / total_, Rate(now));
}

std::string Meter::Summary(absl::Time now) const {
  return absl::StrCat(HumanBytes(moved()), " in ", HumanDuration(now - began_), ", ", Rate(now));
}

void Progress::Begin(const std::string& name, absl::string_view doing, uint64_t done, uint64_t total) {
  std::lock_guard<std::mutex> lock(mutex_);
  entries_[name] = {Plain(doing), true, Meter(done, total, absl::Now())};
  Show(Urgency::kNow);
}

void Progress::Set(const std::string& name, uint64_t done) {
  std::lock_guard<std::mutex> lock(mutex_);
  entries_[name].meter.set_done(done);
  Show(Urgency::kSoon);
}

void Progress::Say(const std::string& name, absl::string_view doing) {
  std::lock_guard<std::mutex> lock(mutex_);
  Entry& entry = entries_[name];
  if (!entry.metered && entry.doing == Plain(doing)) return;
  entry = {Plain(doing)};
  Show(Urgency::kNow);
}

std::string Progress::End(const std::string& name) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::string summary = entries_[name].meter.Summary(absl::Now());
  entries_.erase(name);
  Show(Urgency::kNow);
  return summary;
}

void Progress::Show(Urgency urgency) {
  absl::Time now = absl::Now();
  if (urgency == Urgency::kSoon && now - shown_ < kPause) return;
  shown_ = now;
  bool alone = entries_.size() == 1;
  console_.Status(absl::StrJoin(entries_, "  |  ", [&](std::string* out, const auto& item) {
    const auto& [name, entry] = item;
    absl::StrAppend(out, name, name.empty() ? "" : ": ", entry.doing);
    if (entry.metered) absl::StrAppend(out, " ", alone ? entry.meter.Text(now) : entry.meter.Short(now));
  }));
}

}  // namespace stele::osctl
