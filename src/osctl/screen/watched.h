// Resources as a watch tells them, for a screen: what there is, and what was before the last change, for rates. Pure.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "stele/machine/v1/resource_service.pb.h"

namespace stele::osctl {

// A node reads what it mirrors of the kernel every two seconds while it is watched, and tells what changed in one go:
// what comes after a pause of this is another reading.
inline constexpr absl::Duration kBetweenReadings = absl::Milliseconds(500);
// After so long without a change nothing moves any more.
inline constexpr absl::Duration kStandsStill = absl::Seconds(6);

// T is the type's message.
template <typename T>
class Watched {
 public:
  const std::map<std::string, T>& now() const { return now_; }        // by id
  const std::map<std::string, T>& before() const { return before_; }  // one reading earlier
  // Between the two; zero: there are no two, or nothing moves.
  absl::Duration Between(absl::Time time) const {
    bool moves = before_at_ != absl::InfinitePast() && time - heard_ < kStandsStill;
    return moves ? at_ - before_at_ : absl::ZeroDuration();
  }
  // When something came last.
  absl::Time heard() const { return heard_; }
  // The one of that id; an empty one when there is none.
  const T& Get(const std::string& id) const {
    static const T* none = new T;
    auto found = now_.find(id);
    return found == now_.end() ? *none : found->second;
  }

  // A watch begins, for the first time or anew. What was stays until it is known what is.
  void Begin() {
    synced_ = false;
    seen_.clear();
    before_.clear();
    at_ = before_at_ = absl::InfinitePast();
  }
  void Apply(const stele::machine::v1::WatchResponse& response, absl::Time time) {
    if (response.has_updated()) {
      Hear(time);
      Put(response.updated().id(), response.updated().body().value());
    } else if (response.has_removed()) {
      Hear(time);
      now_.erase(response.removed().id());
    } else if (response.synced()) {
      synced_ = true;
      for (auto it = now_.begin(); it != now_.end();) it = seen_.count(it->first) != 0 ? std::next(it) : now_.erase(it);
    }
  }
  // A reading of its own: all that there is.
  void Read(const stele::machine::v1::ListResponse& response, absl::Time time) {
    before_ = std::exchange(now_, {});
    before_at_ = std::exchange(at_, time);
    heard_ = time;
    for (const auto& resource : response.resources()) Put(resource.id(), resource.body().value());
  }

 private:
  void Hear(absl::Time time) {
    if (at_ == absl::InfinitePast()) at_ = time;
    if (synced_ && time - heard_ > kBetweenReadings) {
      before_ = now_;
      before_at_ = std::exchange(at_, time);
    }
    heard_ = time;
  }
  void Put(const std::string& id, const std::string& bytes) {
    T body;
    // A body that does not parse is shown as an empty one: its id still says what is there.
    if (!body.ParseFromString(bytes)) body.Clear();
    now_[id] = std::move(body);
    seen_.insert(id);
  }

  std::map<std::string, T> now_, before_;
  absl::Time at_ = absl::InfinitePast(), before_at_ = absl::InfinitePast();  // when each reading began to come
  absl::Time heard_ = absl::InfinitePast();
  std::set<std::string> seen_;  // by this watch
  bool synced_ = false;
};

// The node will not tell us, however often it is asked.
inline bool IsRefusal(const absl::Status& status) {
  return absl::IsPermissionDenied(status) || absl::IsUnimplemented(status);
}

// Whether a node is there, as its streams end and go on.
class Health {
 public:
  // How an attempt at `what` ended, or that something came.
  void Tell(const std::string& what, const absl::Status& status, absl::Time time) {
    if (status.ok()) {
      failed_.erase(what);
      return;
    }
    if (!IsRefusal(status) && !IsAway()) since_ = time;
    failed_[what] = status;
  }
  // What is wrong, to be shown; empty: nothing. `heard`: when something came that comes every two seconds.
  std::string Trouble(absl::Time heard, absl::Time time) const;

 private:
  bool IsAway() const {
    return std::any_of(failed_.begin(), failed_.end(), [](const auto& failed) { return !IsRefusal(failed.second); });
  }

  std::map<std::string, absl::Status> failed_;
  absl::Time since_ = absl::InfinitePast();
};

}  // namespace stele::osctl
