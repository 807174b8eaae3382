// The node's state as typed resources: what the API reads and what controllers react to.
//
// A resource is (type, id) and an immutable message of stele.resource.v1. The type's name is the
// `resource` option of its message (proto/stele/machine/v1/options.proto), so there is no second
// list of types. Each resource has one owner: the controller that writes it.
// Owner thread only, except Watcher delivery, which is told below.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "base/status.h"
#include "google/protobuf/message.h"

namespace stele::machined {

struct StoredResource {
  std::string type;
  std::string id;
  uint64_t version = 0;
  std::string owner;
  absl::Time created;
  absl::Time updated;
  std::shared_ptr<const google::protobuf::Message> body;
};

using ResourcePtr = std::shared_ptr<const StoredResource>;

struct Change {
  ResourcePtr resource;  // of a removed one the last state
  bool removed = false;
  ResourcePtr before;  // null: it is new
  uint64_t version = 0;
};

// The type name in a message's `resource` option; CHECK-fails for a message that is no resource.
const std::string& ResourceTypeOf(const google::protobuf::Descriptor* descriptor);

// Every message that is a resource, in the order of the proto files.
const std::vector<const google::protobuf::Descriptor*>& ResourceMessages();

// The same for equal messages, whatever order a map in them is in.
std::string StableBytes(const google::protobuf::Message& message);

// The message of a type; null for a type that there is not.
const google::protobuf::Descriptor* ResourceMessageOf(absl::string_view type);

class Store {
 public:
  Store();

  // Writes a resource. Without a change to the body nothing happens: no version, no event.
  // Returns FAILED_PRECONDITION when another owner wrote it.
  absl::Status Put(absl::string_view owner, absl::string_view id, const google::protobuf::Message& body);
  void Remove(absl::string_view owner, absl::string_view type, absl::string_view id);
  // Makes the owner's resources of M's type exactly these: puts each, removes the others.
  template <typename M>
  absl::Status Replace(absl::string_view owner, const std::map<std::string, M>& wanted);

  // Null when there is none.
  ResourcePtr Get(absl::string_view type, absl::string_view id) const;
  std::vector<ResourcePtr> List(absl::string_view type) const;
  // All of a message type, by id.
  template <typename M>
  std::map<std::string, M> All() const;
  template <typename M>
  const M* Find(absl::string_view id) const;

  bool KnowsType(absl::string_view type) const;

  // That of the last change.
  uint64_t version() const { return version_; }
  // The changes of `type` after that version, oldest first. Nothing when some of them are forgotten: the last 512 of
  // all types are remembered.
  static constexpr size_t kRemembered = 512;
  absl::optional<std::vector<Change>> ChangesAfter(absl::string_view type, uint64_t version) const;

  // Calls `on_change` on the owner thread for each change of `type`, in the order of versions, until Unsubscribe.
  using SubscriptionId = uint64_t;
  SubscriptionId Subscribe(absl::string_view type, std::function<void(const Change&)> on_change);
  void Unsubscribe(SubscriptionId id);

 private:
  absl::Status PutShared(absl::string_view owner, absl::string_view id,
                         std::shared_ptr<const google::protobuf::Message> body);
  void Announce(Change change);
  void Tell(const Change& change);
  void RemoveAllBut(absl::string_view owner, const std::string& type,
                    const std::function<bool(const std::string&)>& keep);

  std::map<std::string, std::map<std::string, ResourcePtr, std::less<>>, std::less<>> types_;
  struct Subscription {
    std::string type;
    std::function<void(const Change&)> on_change;
  };
  std::map<SubscriptionId, Subscription> subscriptions_;
  uint64_t version_ = 0;
  std::deque<Change> remembered_;
  uint64_t forgotten_ = 0;  // up to this version
  std::deque<Change> untold_;
  bool telling_ = false;
  SubscriptionId next_subscription_ = 1;
};

template <typename M>
absl::Status Store::Replace(absl::string_view owner, const std::map<std::string, M>& wanted) {
  for (const auto& [id, body] : wanted) RETURN_IF_ERROR(Put(owner, id, body));
  RemoveAllBut(owner, ResourceTypeOf(M::descriptor()), [&](const std::string& id) { return wanted.count(id) > 0; });
  return absl::OkStatus();
}

template <typename M>
std::map<std::string, M> Store::All() const {
  std::map<std::string, M> all;
  for (const ResourcePtr& resource : List(ResourceTypeOf(M::descriptor()))) {
    all.emplace(resource->id, static_cast<const M&>(*resource->body));
  }
  return all;
}

template <typename M>
const M* Store::Find(absl::string_view id) const {
  ResourcePtr resource = Get(ResourceTypeOf(M::descriptor()), id);
  return resource == nullptr ? nullptr : static_cast<const M*>(resource->body.get());
}

}  // namespace stele::machined
