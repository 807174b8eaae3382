#include "machined/store.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <cstdlib>

#include "machined/log.h"
#include "stele/machine/v1/options.pb.h"
#include "stele/resource/v1/hardware.pb.h"
#include "stele/resource/v1/kernel.pb.h"
#include "stele/resource/v1/network.pb.h"
#include "stele/resource/v1/node.pb.h"
#include "stele/resource/v1/upgrade.pb.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FileDescriptor;

// The files whose messages are resources; one message of each stands for it.
std::vector<const FileDescriptor*> ResourceFiles() {
  namespace v1 = resource::v1;
  return {v1::Service::descriptor()->file(), v1::Link::descriptor()->file(),   v1::Pod::descriptor()->file(),
          v1::Slot::descriptor()->file(),    v1::Kernel::descriptor()->file(), v1::Disk::descriptor()->file()};
}

bool SameContent(const google::protobuf::Message& a, const google::protobuf::Message& b) {
  return StableBytes(a) == StableBytes(b);
}

}  // namespace

std::string StableBytes(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream out(&bytes);
  google::protobuf::io::CodedOutputStream coded(&out);
  coded.SetSerializationDeterministic(true);
  bool whole = message.SerializeToCodedStream(&coded);
  coded.Trim();
  return whole ? bytes : std::string();
}

const std::vector<const Descriptor*>& ResourceMessages() {
  static const auto* messages = [] {
    auto* all = new std::vector<const Descriptor*>;
    for (const FileDescriptor* file : ResourceFiles()) {
      for (int i = 0; i < file->message_type_count(); ++i) {
        if (file->message_type(i)->options().HasExtension(machine::v1::resource)) all->push_back(file->message_type(i));
      }
    }
    return all;
  }();
  return *messages;
}

const std::string& ResourceTypeOf(const Descriptor* descriptor) {
  if (!descriptor->options().HasExtension(machine::v1::resource)) {
    Log("bug: ", descriptor->full_name(), " is no resource");
    std::abort();
  }
  return descriptor->options().GetExtension(machine::v1::resource).name();
}

const Descriptor* ResourceMessageOf(absl::string_view type) {
  for (const Descriptor* message : ResourceMessages()) {
    if (ResourceTypeOf(message) == type) return message;
  }
  return nullptr;
}

Store::Store() {
  for (const Descriptor* message : ResourceMessages()) types_[ResourceTypeOf(message)];
}

bool Store::KnowsType(absl::string_view type) const { return types_.find(std::string(type)) != types_.end(); }

absl::Status Store::Put(absl::string_view owner, absl::string_view id, const google::protobuf::Message& body) {
  std::shared_ptr<google::protobuf::Message> copy(body.New());
  copy->CopyFrom(body);
  return PutShared(owner, id, std::move(copy));
}

absl::Status Store::PutShared(absl::string_view owner, absl::string_view id,
                              std::shared_ptr<const google::protobuf::Message> body) {
  const std::string& type = ResourceTypeOf(body->GetDescriptor());
  auto& resources = types_[type];
  auto found = resources.find(std::string(id));
  absl::Time now = absl::Now();
  auto resource = std::make_shared<StoredResource>();
  resource->created = now;
  if (found != resources.end()) {
    const StoredResource& old = *found->second;
    if (old.owner != owner) {
      return absl::FailedPreconditionError(
          absl::StrCat("write ", type, "/", id, " as ", owner, ": it is ", old.owner, "'s"));
    }
    if (SameContent(*old.body, *body)) return absl::OkStatus();
    resource->created = old.created;
  }
  resource->type = type;
  resource->id = std::string(id);
  resource->version = ++version_;
  resource->owner = std::string(owner);
  resource->updated = now;
  resource->body = std::move(body);
  Change change = {.resource = resource, .version = version_};
  if (found != resources.end()) change.before = found->second;
  resources[resource->id] = resource;
  Announce(std::move(change));
  return absl::OkStatus();
}

void Store::Remove(absl::string_view owner, absl::string_view type, absl::string_view id) {
  auto resources = types_.find(std::string(type));
  if (resources == types_.end()) return;
  auto found = resources->second.find(std::string(id));
  if (found == resources->second.end() || found->second->owner != owner) return;
  ResourcePtr removed = found->second;
  resources->second.erase(found);
  ++version_;
  Announce({.resource = removed, .removed = true, .before = removed, .version = version_});
}

void Store::RemoveAllBut(absl::string_view owner, const std::string& type,
                         const std::function<bool(const std::string&)>& keep) {
  std::vector<std::string> gone;
  for (const auto& [id, resource] : types_[type]) {
    if (resource->owner == owner && !keep(id)) gone.push_back(id);
  }
  for (const std::string& id : gone) Remove(owner, type, id);
}

ResourcePtr Store::Get(absl::string_view type, absl::string_view id) const {
  auto resources = types_.find(std::string(type));
  if (resources == types_.end()) return nullptr;
  auto found = resources->second.find(std::string(id));
  return found == resources->second.end() ? nullptr : found->second;
}

std::vector<ResourcePtr> Store::List(absl::string_view type) const {
  std::vector<ResourcePtr> all;
  auto resources = types_.find(std::string(type));
  if (resources == types_.end()) return all;
  all.reserve(resources->second.size());
  for (const auto& [id, resource] : resources->second) all.push_back(resource);
  return all;
}

Store::SubscriptionId Store::Subscribe(absl::string_view type, std::function<void(const Change&)> on_change) {
  SubscriptionId id = next_subscription_++;
  subscriptions_[id] = {std::string(type), std::move(on_change)};
  return id;
}

void Store::Unsubscribe(SubscriptionId id) { subscriptions_.erase(id); }

absl::optional<std::vector<Change>> Store::ChangesAfter(absl::string_view type, uint64_t version) const {
  if (version < forgotten_ || version > version_) return absl::nullopt;
  std::vector<Change> changes;
  for (const Change& change : remembered_) {
    if (change.version > version && change.resource->type == type) changes.push_back(change);
  }
  return changes;
}

void Store::Announce(Change change) {
  remembered_.push_back(change);
  if (remembered_.size() > kRemembered) {
    forgotten_ = remembered_.front().version;
    remembered_.pop_front();
  }
  // One at a time: who writes while it is told of a change must not make others hear of the later one first.
  untold_.push_back(std::move(change));
  if (std::exchange(telling_, true)) return;
  while (!untold_.empty()) {
    Change next = std::move(untold_.front());
    untold_.pop_front();
    Tell(next);
  }
  telling_ = false;
}

void Store::Tell(const Change& change) {
  // A subscriber may subscribe, unsubscribe or write while it is told: walk by id, not by iterator.
  for (auto it = subscriptions_.begin(); it != subscriptions_.end();) {
    SubscriptionId id = it->first;
    if (it->second.type == change.resource->type) {
      auto on_change = it->second.on_change;
      on_change(change);
    }
    it = subscriptions_.upper_bound(id);
  }
}

}  // namespace stele::machined
