// osctl get -w: one line for each change. A watch that had to begin again shows only what really
// changed meanwhile.
#include <map>
#include <memory>
#include <set>

#include "osctl/client/follow.h"
#include "osctl/commands/get.h"
#include "osctl/output/format.h"
#include "osctl/output/table.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::Resource;
using stele::machine::v1::WatchRequest;
using stele::machine::v1::WatchResponse;

// Prints changes of all nodes; shared by their threads.
class ChangePrinter {
 public:
  ChangePrinter(Session& session, const GetOptions& options)
      : session_(session),
        options_(options),
        width_(options.output == "wide" ? Width::kWide : Width::kNormal),
        several_(session.several_nodes()),
        table_(Headers()) {}

  void Add(absl::string_view change, const std::string& node, const Resource& resource, const std::string& cursor) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (options_.output == "name") {
      pending_ += absl::StrCat(options_.type, "/", resource.id(), "\n");
    } else if (IsStructured(options_.output)) {
      Value value = Value::Map();
      value.Add("change", Value::String(change));
      if (!cursor.empty()) value.Add("cursor", Value::String(cursor));
      value.Add("resource", ResourceValue(resource, several_ ? node : ""));
      if (options_.output == "json") {
        pending_ += ToJson(value, Layout::kOneLine);
      } else {
        pending_ += absl::StrCat(options_.output == "yaml" ? "---\n" : "", Structured(value, options_.output));
      }
    } else {
      std::vector<std::string> cells = ResourceCells(options_.known, resource, width_, absl::Now());
      cells.insert(cells.begin(), std::string(change));
      if (several_) cells.insert(cells.begin(), node);
      table_.AddRow(std::move(cells));
    }
  }

  void Flush() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (options_.output == "table" || options_.output == "wide") pending_ = table_.Render();
    session_.console().Out(pending_);
    pending_.clear();
  }

 private:
  std::vector<std::string> Headers() const {
    std::vector<std::string> headers = ResourceHeaders(options_.known, width_);
    headers.insert(headers.begin(), "CHANGE");
    if (several_) headers.insert(headers.begin(), "NODE");
    return headers;
  }

  Session& session_;
  const GetOptions& options_;
  const Width width_;
  const bool several_;
  std::mutex mutex_;
  Table table_;
  std::string pending_;
};

// What one node has, to tell what is new after the watch began again.
class NodeView {
 public:
  NodeView(std::string node, ChangePrinter* printer) : node_(std::move(node)), printer_(printer) {}

  // Where the watch may go on; empty: from the beginning.
  const std::string& cursor() const { return cursor_; }

  // A watch begins, after the cursor if there is one.
  void Begin(const std::string& cursor) {
    cursor_ = cursor;
    resumed_ = !cursor.empty();
    synced_ = false;
    seen_.clear();
  }

  void Apply(const WatchResponse& response) {
    if (!response.cursor().empty()) cursor_ = response.cursor();
    switch (response.change_case()) {
      case WatchResponse::kUpdated:
        Update(response.updated());
        break;
      case WatchResponse::kRemoved:
        Remove(response.removed());
        break;
      case WatchResponse::kSynced:
        Sync();
        break;
      case WatchResponse::kBookmark:
        return;
      case WatchResponse::CHANGE_NOT_SET:
        return;  // of a newer node
    }
    // The first state comes out as one table; changes as they happen.
    if (synced_) printer_->Flush();
  }

 private:
  void Update(const Resource& resource) {
    seen_.insert(resource.id());
    auto [known, added] = known_.try_emplace(resource.id(), resource);
    if (!added && known->second.body().value() == resource.body().value()) return;
    known->second = resource;
    printer_->Add(added ? "ADDED" : "MODIFIED", node_, resource, cursor_);
  }

  void Remove(const Resource& resource) {
    known_.erase(resource.id());
    printer_->Add("DELETED", node_, resource, cursor_);
  }

  // What was known and did not come again is gone, unless only changes came.
  void Sync() {
    synced_ = true;
    if (resumed_) return;
    for (auto it = known_.begin(); it != known_.end();) {
      if (seen_.count(it->first) != 0) {
        ++it;
        continue;
      }
      printer_->Add("DELETED", node_, it->second, cursor_);
      it = known_.erase(it);
    }
  }

  std::string node_;
  ChangePrinter* printer_;
  std::map<std::string, Resource> known_;
  std::set<std::string> seen_;
  std::string cursor_;
  bool resumed_ = false;
  bool synced_ = false;
};

absl::Status WatchNode(Node& node, Session& session, const GetOptions& options, ChangePrinter* printer) {
  WatchRequest request;
  request.set_type(options.type);
  if (!options.ids.empty()) request.set_id(options.ids.front());
  request.set_field_selector(options.field_selector);
  request.set_label_selector(options.label_selector);
  request.set_cursor(options.resume);
  NodeView view(node.name(), printer);
  return Follow(node, session.console(), session.follow_patience(), [&](const std::function<void()>& alive) {
    view.Begin(request.cursor());
    absl::Status status =
        node.Stream<WatchRequest, WatchResponse>(method::kWatch, request, [&](const WatchResponse& r) {
          alive();
          view.Apply(r);
          return absl::OkStatus();
        });
    // The cursor that somebody gave is too old: they must know. One of ours is, after a restart of machined: then all
    // there is comes again, and what is known is not shown twice.
    bool too_old = absl::IsOutOfRange(status);
    if (too_old && request.cursor() == options.resume) return status;
    request.set_cursor(too_old ? "" : view.cursor());
    // "Too slow": the node asks us to begin again, which is what a lost connection does.
    return too_old || absl::IsResourceExhausted(status) ? absl::UnavailableError(status.message()) : status;
  });
}

}  // namespace

ExitCode Watch(Session& session, const GetOptions& options) {
  std::unique_ptr<ChangePrinter> printer;
  std::once_flag once;
  return session.ForEachNode(absl::StrCat("watch ", options.type), Lasts::kUntilEnded, [&](Node& node) {
    // Only now is it known whether there are several nodes.
    std::call_once(once, [&] { printer = std::make_unique<ChangePrinter>(session, options); });
    return WatchNode(node, session, options, printer.get());
  });
}

}  // namespace stele::osctl
