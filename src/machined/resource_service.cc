// ResourceService: reads of the store and of what is read on demand.
#include <map>
#include <random>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/narrow_roles.h"
#include "machined/api.h"
#include "machined/caller.h"
#include "machined/field_selector.h"
#include "machined/grpc_status.h"
#include "machined/label_selector.h"
#include "machined/providers/provider_reads.h"
#include "machined/store.h"
#include "machined/stream_writer.h"
#include "stele/machine/v1/resource_service.grpc.pb.h"

namespace stele::machined {
namespace {

using machine::v1::Resource;
using machine::v1::WatchResponse;

constexpr absl::Duration kProviderPause = absl::Seconds(2);
constexpr absl::Duration kBookmarkPause = absl::Seconds(30);

void SetTime(absl::Time time, google::protobuf::Timestamp& out) {
  int64_t nanos = absl::ToUnixNanos(time);
  out.set_seconds(nanos / 1'000'000'000);
  out.set_nanos(nanos % 1'000'000'000);
}

// As PackFrom, with the same bytes for the same content: watchers compare them.
void Pack(const google::protobuf::Message& body, google::protobuf::Any& out) {
  out.set_type_url(absl::StrCat("type.googleapis.com/", body.GetDescriptor()->full_name()));
  out.set_value(StableBytes(body));
}

void Fill(const StoredResource& stored, Resource& out) {
  out.set_type(stored.type);
  out.set_id(stored.id);
  out.set_version(stored.version);
  out.set_owner(stored.owner);
  SetTime(stored.created, *out.mutable_created());
  SetTime(stored.updated, *out.mutable_updated());
  Pack(*stored.body, *out.mutable_body());
}

void Fill(const Provider& provider, const std::string& id, const google::protobuf::Message& body, Resource& out) {
  out.set_type(provider.type);
  out.set_id(id);
  out.set_owner(provider.owner);
  SetTime(absl::Now(), *out.mutable_updated());
  Pack(body, *out.mutable_body());
}

// A narrow role is given the types that apid names; the others, and root on the node, all.
bool MayRead(const grpc::CallbackServerContext& context, absl::string_view type) {
  if (CallerMetadata(context, "stele-subject").empty() || IsWideRole(CallerMetadata(context, "stele-role")))
    return true;
  std::string resources = CallerMetadata(context, "stele-resources");
  for (absl::string_view allowed : absl::StrSplit(resources, ',')) {
    if (allowed == "*" || allowed == type) return true;
  }
  return false;
}

grpc::Status NotForRole(const grpc::CallbackServerContext& context, absl::string_view type) {
  return {grpc::StatusCode::PERMISSION_DENIED, absl::StrCat("the role ", CallerMetadata(context, "stele-role"),
                                                            " is not given the type '", type.substr(0, 80), "'")};
}

grpc::Status UnknownType(const std::string& type) {
  return {grpc::StatusCode::NOT_FOUND, absl::StrCat("no resource type ", type, ": `osctl get types` lists them")};
}

grpc::Status UnknownId(const std::string& type, const std::string& id) {
  return {grpc::StatusCode::NOT_FOUND, absl::StrCat("no ", id, " among ", type)};
}

// What a List or Watch is wished to be less than all of.
struct Selectors {
  FieldSelector fields;
  LabelSelector labels;

  bool Fit(absl::string_view id, absl::string_view owner, const google::protobuf::Message& body) const {
    return fields.Fits(id, owner, body) && labels.Fits(body);
  }
  bool Fit(const StoredResource& resource) const { return Fit(resource.id, resource.owner, *resource.body); }
};

template <typename Request>
absl::StatusOr<Selectors> SelectorsOf(const Request& request) {
  const google::protobuf::Descriptor* message = ResourceMessageOf(request.type());
  if (message == nullptr) return Selectors();  // an unknown type is told by whoever looks for it
  Selectors selectors;
  ASSIGN_OR_RETURN(selectors.fields, FieldSelector::Parse(request.field_selector(), message));
  ASSIGN_OR_RETURN(selectors.labels, LabelSelector::Parse(request.label_selector(), message));
  return selectors;
}

// "1f00ba12:345": a version of this start of machined, to which another's mean nothing.
class Cursors {
 public:
  Cursors() : start_(absl::StrFormat("%08x", std::random_device()())) {}

  std::string At(uint64_t version) const { return absl::StrCat(start_, ":", version); }
  absl::StatusOr<uint64_t> Version(absl::string_view cursor) const {
    std::vector<absl::string_view> parts = absl::StrSplit(cursor, ':');
    uint64_t version;
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[1], &version))
      return absl::InvalidArgumentError("the cursor is not one that this service gave");
    if (parts[0] != start_) return TooOld("it is of another start of machined");
    return version;
  }
  static absl::Status TooOld(absl::string_view why) {
    return absl::OutOfRangeError(
        absl::StrCat("the cursor is too old: ", why, "; watch again without a cursor, which tells all there is"));
  }

 private:
  const std::string start_;
};

// A watch of a type that the store holds. Owner thread.
class StoreWatch : public std::enable_shared_from_this<StoreWatch> {
 public:
  StoreWatch(NodeApi& api, const Cursors& cursors, const machine::v1::WatchRequest& request, Selectors selectors,
             StreamWriter<WatchResponse>* writer)
      : loop_(api.node.loop()),
        store_(api.node.store()),
        cursors_(cursors),
        request_(request),
        selectors_(std::move(selectors)),
        writer_(writer) {}

  void Begin() {
    if (!store_.KnowsType(request_.type())) return writer_->Close(UnknownType(request_.type()));
    absl::Status told = request_.cursor().empty() ? TellAll() : TellSince();
    if (!told.ok()) return writer_->Close(ToGrpc(told));
    version_ = store_.version();
    WatchResponse synced;
    synced.set_synced(true);
    synced.set_cursor(cursors_.At(version_));
    writer_->Push(std::move(synced), false);
    Store::SubscriptionId subscription = store_.Subscribe(
        request_.type(), [self = shared_from_this()](const Change& change) { self->Tell(change, true); });
    writer_->OnEnd([self = shared_from_this(), subscription] {
      self->store_.Unsubscribe(subscription);
      self->loop_.Cancel(self->timer_);
    });
    BookmarkLater();
  }

 private:
  bool Wanted(const ResourcePtr& resource) const {
    return resource != nullptr && (request_.id().empty() || resource->id == request_.id()) && selectors_.Fit(*resource);
  }

  absl::Status TellAll() {
    for (const ResourcePtr& resource : store_.List(request_.type())) {
      if (!Wanted(resource)) continue;
      fit_.insert(resource->id);
      WatchResponse response;
      Fill(*resource, *response.mutable_updated());
      writer_->Push(std::move(response), false);
    }
    return absl::OkStatus();
  }

  absl::Status TellSince() {
    ASSIGN_OR_RETURN(uint64_t version, cursors_.Version(request_.cursor()));
    absl::optional<std::vector<Change>> changes = store_.ChangesAfter(request_.type(), version);
    if (!changes.has_value()) {
      return Cursors::TooOld(
          absl::StrCat("the changes since are forgotten, the last ", Store::kRemembered, " are kept"));
    }
    // What the watcher has: what fits now, as it was before what is told now.
    for (const ResourcePtr& resource : store_.List(request_.type())) {
      if (Wanted(resource)) fit_.insert(resource->id);
    }
    for (auto change = changes->rbegin(); change != changes->rend(); ++change) {
      fit_.erase(change->resource->id);
      if (Wanted(change->before)) fit_.insert(change->before->id);
    }
    for (const Change& change : *changes) Tell(change, false);
    return absl::OkStatus();
  }

  void Tell(const Change& change, bool bounded) {
    const StoredResource& resource = *change.resource;
    bool fits = !change.removed && Wanted(change.resource);
    if (fits) fit_.insert(resource.id);
    if (!fits && fit_.erase(resource.id) == 0) return;
    WatchResponse response;
    Fill(resource, fits ? *response.mutable_updated() : *response.mutable_removed());
    response.set_cursor(cursors_.At(change.version));
    version_ = change.version;
    writer_->Push(std::move(response), bounded);
  }

  // What is not watched changes too, and would leave the watcher's cursor behind what is remembered.
  void BookmarkLater() {
    timer_ = loop_.After(kBookmarkPause, [self = shared_from_this()] {
      if (self->store_.version() > self->version_) {
        self->version_ = self->store_.version();
        WatchResponse response;
        response.set_bookmark(true);
        response.set_cursor(self->cursors_.At(self->version_));
        self->writer_->Push(std::move(response));
      }
      self->BookmarkLater();
    });
  }

  OwnerLoop& loop_;
  Store& store_;
  const Cursors& cursors_;
  const machine::v1::WatchRequest request_;
  const Selectors selectors_;
  StreamWriter<WatchResponse>* writer_;  // lives until its OnEnd, which ends all that uses it here
  std::set<std::string> fit_;            // what the watcher has
  uint64_t version_ = 0;                 // that it knows of
  OwnerLoop::TimerId timer_ = 0;
};

// A watch of a type that is read on demand: what differs from the reading before is sent.
class ProviderWatch : public std::enable_shared_from_this<ProviderWatch> {
 public:
  ProviderWatch(OwnerLoop& loop, ProviderReads& reads, const Provider& provider, std::string id, Selectors selectors,
                StreamWriter<WatchResponse>* writer)
      : loop_(loop),
        reads_(reads),
        provider_(provider),
        id_(std::move(id)),
        selectors_(std::move(selectors)),
        writer_(writer) {}

  void Begin() {
    writer_->OnEnd([self = shared_from_this()] { self->writer_ = nullptr; });
    Read();
  }

 private:
  void Read() {
    reads_.Read(provider_, [self = shared_from_this()](const ProviderReads::Result& now) { self->Send(now); });
  }

  void Send(const absl::StatusOr<Provided>& now) {
    if (writer_ == nullptr) return;  // the call ended
    if (!now.ok()) return writer_->Close(ToGrpc(now.status()));
    std::map<std::string, Resource> resources;
    for (const auto& [id, body] : *now) {
      bool wanted = (id_.empty() || id_ == id) && selectors_.Fit(id, provider_.owner, *body);
      if (wanted) Fill(provider_, id, *body, resources[id]);
    }
    for (const auto& [id, resource] : resources) {
      auto before = sent_.find(id);
      if (before != sent_.end() && before->second.body().value() == resource.body().value()) continue;
      WatchResponse response;
      *response.mutable_updated() = resource;
      writer_->Push(std::move(response), synced_);
    }
    for (const auto& [id, resource] : sent_) {
      if (resources.count(id) > 0) continue;
      WatchResponse response;
      *response.mutable_removed() = resource;
      writer_->Push(std::move(response));
    }
    if (!std::exchange(synced_, true)) {
      WatchResponse response;
      response.set_synced(true);
      writer_->Push(std::move(response));
    }
    sent_ = std::move(resources);
    loop_.After(kProviderPause, [self = shared_from_this()] {
      if (self->writer_ != nullptr) self->Read();
    });
  }

  OwnerLoop& loop_;
  ProviderReads& reads_;
  const Provider& provider_;
  std::string id_;
  Selectors selectors_;
  StreamWriter<WatchResponse>* writer_;  // null once the call has ended
  std::map<std::string, Resource> sent_;
  bool synced_ = false;
};

class ResourceService final : public machine::v1::ResourceService::CallbackService {
 public:
  explicit ResourceService(NodeApi& api) : api_(api), loop_(api.node.loop()) {}

  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const machine::v1::GetRequest* request,
                                machine::v1::GetResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    if (!MayRead(*context, request->type())) {
      reactor->Finish(NotForRole(*context, request->type()));
      return reactor;
    }
    if (const Provider* provider = FindProvider(request->type())) {
      api_.reads.Read(*provider, [reactor, request, response, provider](const absl::StatusOr<Provided>& all) {
        if (!all.ok()) return reactor->Finish(ToGrpc(all.status()));
        auto found = all->find(request->id());
        if (found == all->end()) return reactor->Finish(UnknownId(request->type(), request->id()));
        Fill(*provider, found->first, *found->second, *response->mutable_resource());
        reactor->Finish(grpc::Status::OK);
      });
      return reactor;
    }
    loop_.Post([this, reactor, request, response] {
      const Store& store = api_.node.store();
      if (!store.KnowsType(request->type())) return reactor->Finish(UnknownType(request->type()));
      ResourcePtr resource = store.Get(request->type(), request->id());
      if (resource == nullptr) return reactor->Finish(UnknownId(request->type(), request->id()));
      Fill(*resource, *response->mutable_resource());
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context, const machine::v1::ListRequest* request,
                                 machine::v1::ListResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    if (!MayRead(*context, request->type())) {
      reactor->Finish(NotForRole(*context, request->type()));
      return reactor;
    }
    absl::StatusOr<Selectors> selectors = SelectorsOf(*request);
    if (!selectors.ok()) {
      reactor->Finish(ToGrpc(selectors.status()));
      return reactor;
    }
    if (const Provider* provider = FindProvider(request->type())) {
      api_.reads.Read(*provider,
                      [reactor, response, provider, selectors = *selectors](const absl::StatusOr<Provided>& all) {
                        if (!all.ok()) return reactor->Finish(ToGrpc(all.status()));
                        for (const auto& [id, body] : *all) {
                          if (selectors.Fit(id, provider->owner, *body))
                            Fill(*provider, id, *body, *response->add_resources());
                        }
                        reactor->Finish(grpc::Status::OK);
                      });
      return reactor;
    }
    loop_.Post([this, reactor, request, response, selectors = *selectors] {
      const Store& store = api_.node.store();
      if (!store.KnowsType(request->type())) return reactor->Finish(UnknownType(request->type()));
      for (const ResourcePtr& resource : store.List(request->type())) {
        if (selectors.Fit(*resource)) Fill(*resource, *response->add_resources());
      }
      response->set_cursor(cursors_.At(store.version()));
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  }

  grpc::ServerWriteReactor<WatchResponse>* Watch(grpc::CallbackServerContext* context,
                                                 const machine::v1::WatchRequest* request) override {
    auto* writer = new StreamWriter<WatchResponse>(loop_);
    if (!MayRead(*context, request->type())) {
      writer->Close(NotForRole(*context, request->type()));
      return writer;
    }
    absl::StatusOr<Selectors> selectors = SelectorsOf(*request);
    loop_.Post([this, writer, request = *request, selectors = std::move(selectors)] {
      if (!selectors.ok()) return writer->Close(ToGrpc(selectors.status()));
      const Provider* provider = FindProvider(request.type());
      if (provider == nullptr) {
        return std::make_shared<StoreWatch>(api_, cursors_, request, *selectors, writer)->Begin();
      }
      if (!request.cursor().empty()) return writer->Close(ToGrpc(Cursors::TooOld("this type has no history")));
      std::make_shared<ProviderWatch>(loop_, api_.reads, *provider, request.id(), *selectors, writer)->Begin();
    });
    return writer;
  }

 private:
  NodeApi& api_;
  OwnerLoop& loop_;
  Cursors cursors_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeResourceService(NodeApi& api) { return std::make_unique<ResourceService>(api); }

}  // namespace stele::machined
