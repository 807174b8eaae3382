// ResourceService: reads of the store and of what is read on demand.
#include <map>
#include <set>

#include "machined/api.h"
#include "machined/field_selector.h"
#include "machined/grpc_status.h"
#include "machined/providers/provider_reads.h"
#include "machined/store.h"
#include "machined/stream_writer.h"
#include "stele/machine/v1/resource_service.grpc.pb.h"

namespace stele::machined {
namespace {

using machine::v1::Resource;
using machine::v1::WatchResponse;

constexpr absl::Duration kProviderPause = absl::Seconds(2);

void SetTime(absl::Time time, google::protobuf::Timestamp& out) {
  int64_t nanos = absl::ToUnixNanos(time);
  out.set_seconds(nanos / 1'000'000'000);
  out.set_nanos(nanos % 1'000'000'000);
}

void Fill(const StoredResource& stored, Resource& out) {
  out.set_type(stored.type);
  out.set_id(stored.id);
  out.set_version(stored.version);
  out.set_owner(stored.owner);
  SetTime(stored.created, *out.mutable_created());
  SetTime(stored.updated, *out.mutable_updated());
  out.mutable_body()->PackFrom(*stored.body);
}

void Fill(const Provider& provider, const std::string& id, const google::protobuf::Message& body, Resource& out) {
  out.set_type(provider.type);
  out.set_id(id);
  out.set_owner(provider.owner);
  SetTime(absl::Now(), *out.mutable_updated());
  out.mutable_body()->PackFrom(body);
}

grpc::Status UnknownType(const std::string& type) {
  return {grpc::StatusCode::NOT_FOUND, absl::StrCat("no resource type ", type, ": `osctl get types` lists them")};
}

grpc::Status UnknownId(const std::string& type, const std::string& id) {
  return {grpc::StatusCode::NOT_FOUND, absl::StrCat("no ", id, " among ", type)};
}

absl::StatusOr<FieldSelector> SelectorOf(const std::string& type, const std::string& text) {
  const google::protobuf::Descriptor* message = ResourceMessageOf(type);
  // An unknown type is told by whoever looks for it.
  return message == nullptr ? FieldSelector() : FieldSelector::Parse(text, message);
}

// A watch of a type that is read on demand: what differs from the reading before is sent.
class ProviderWatch : public std::enable_shared_from_this<ProviderWatch> {
 public:
  ProviderWatch(OwnerLoop& loop, ProviderReads& reads, const Provider& provider, std::string id, FieldSelector selector,
                StreamWriter<WatchResponse>* writer)
      : loop_(loop),
        reads_(reads),
        provider_(provider),
        id_(std::move(id)),
        selector_(std::move(selector)),
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
      bool wanted = (id_.empty() || id_ == id) && selector_.Fits(id, provider_.owner, *body);
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
  FieldSelector selector_;
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
    absl::StatusOr<FieldSelector> selector = SelectorOf(request->type(), request->field_selector());
    if (!selector.ok()) {
      reactor->Finish(ToGrpc(selector.status()));
      return reactor;
    }
    if (const Provider* provider = FindProvider(request->type())) {
      api_.reads.Read(*provider, [reactor, response, provider, selector = *selector](const absl::StatusOr<Provided>& all) {
        if (!all.ok()) return reactor->Finish(ToGrpc(all.status()));
        for (const auto& [id, body] : *all) {
          if (selector.Fits(id, provider->owner, *body)) Fill(*provider, id, *body, *response->add_resources());
        }
        reactor->Finish(grpc::Status::OK);
      });
      return reactor;
    }
    loop_.Post([this, reactor, request, response, selector = *selector] {
      const Store& store = api_.node.store();
      if (!store.KnowsType(request->type())) return reactor->Finish(UnknownType(request->type()));
      for (const ResourcePtr& resource : store.List(request->type())) {
        if (selector.Fits(resource->id, resource->owner, *resource->body)) Fill(*resource, *response->add_resources());
      }
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  }

  grpc::ServerWriteReactor<WatchResponse>* Watch(grpc::CallbackServerContext*,
                                                 const machine::v1::WatchRequest* request) override {
    auto* writer = new StreamWriter<WatchResponse>(loop_);
    absl::StatusOr<FieldSelector> selector = SelectorOf(request->type(), request->field_selector());
    loop_.Post([this, writer, type = request->type(), id = request->id(), selector = std::move(selector)] {
      if (!selector.ok()) return writer->Close(ToGrpc(selector.status()));
      if (const Provider* provider = FindProvider(type)) {
        return std::make_shared<ProviderWatch>(loop_, api_.reads, *provider, id, *selector, writer)->Begin();
      }
      WatchStore(type, id, *selector, writer);
    });
    return writer;
  }

 private:
  void WatchStore(const std::string& type, const std::string& id, const FieldSelector& selector,
                  StreamWriter<WatchResponse>* writer) {
    Store& store = api_.node.store();
    if (!store.KnowsType(type)) return writer->Close(UnknownType(type));
    auto fit = std::make_shared<std::set<std::string>>();  // what the watcher has
    for (const ResourcePtr& resource : store.List(type)) {
      if (!id.empty() && resource->id != id) continue;
      if (!selector.Fits(resource->id, resource->owner, *resource->body)) continue;
      fit->insert(resource->id);
      WatchResponse response;
      Fill(*resource, *response.mutable_updated());
      writer->Push(std::move(response), false);
    }
    WatchResponse synced;
    synced.set_synced(true);
    writer->Push(std::move(synced), false);
    Store::SubscriptionId subscription = store.Subscribe(type, [id, selector, fit, writer](const Change& change) {
      const StoredResource& resource = *change.resource;
      if (!id.empty() && resource.id != id) return;
      bool fits = !change.removed && selector.Fits(resource.id, resource.owner, *resource.body);
      if (fits) fit->insert(resource.id);
      if (!fits && fit->erase(resource.id) == 0) return;
      WatchResponse response;
      Fill(resource, fits ? *response.mutable_updated() : *response.mutable_removed());
      writer->Push(std::move(response));
    });
    writer->OnEnd([&store, subscription] { store.Unsubscribe(subscription); });
  }

  NodeApi& api_;
  OwnerLoop& loop_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeResourceService(NodeApi& api) { return std::make_unique<ResourceService>(api); }

}  // namespace stele::machined
