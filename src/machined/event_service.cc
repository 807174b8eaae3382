// EventService: the kept events, then new ones.
#include "machined/api.h"
#include "machined/event_log.h"
#include "machined/stream_writer.h"
#include "stele/machine/v1/event_service.grpc.pb.h"

namespace stele::machined {
namespace {

using machine::v1::StreamEventsResponse;

class EventService final : public machine::v1::EventService::CallbackService {
 public:
  explicit EventService(NodeApi& api) : api_(api) {}

  grpc::ServerWriteReactor<StreamEventsResponse>* StreamEvents(
      grpc::CallbackServerContext*, const machine::v1::StreamEventsRequest* request) override {
    auto* writer = new StreamWriter<StreamEventsResponse>(api_.node.loop());
    // An id of another boot means nothing in this one.
    uint64_t after = request->boot_id().empty() || request->boot_id() == api_.boot_id ? request->after_id() : 0;
    api_.node.loop().Post([this, writer, after, follow = request->follow()] {
      // One that was never given tells nothing: all there is.
      std::deque<EventPtr> kept = api_.events.After(after > api_.events.last_id() ? 0 : after);
      bool gap = after > 0 && !kept.empty() && kept.front()->id() > after + 1;
      for (const EventPtr& event : kept) {
        StreamEventsResponse response = Wrap(event);
        if (std::exchange(gap, false)) response.set_lost(event->id() - after - 1);
        writer->Push(std::move(response), false);
      }
      if (!follow) return writer->Close(grpc::Status::OK);
      EventLog::SubscriptionId subscription =
          api_.events.Subscribe([this, writer](const EventPtr& event) { writer->Push(Wrap(event)); });
      writer->OnEnd([this, subscription] { api_.events.Unsubscribe(subscription); });
    });
    return writer;
  }

 private:
  StreamEventsResponse Wrap(const EventPtr& event) const {
    StreamEventsResponse response;
    *response.mutable_event() = *event;
    response.set_boot_id(api_.boot_id);
    return response;
  }

  NodeApi& api_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeEventService(NodeApi& api) { return std::make_unique<EventService>(api); }

}  // namespace stele::machined
