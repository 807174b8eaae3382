#include "osctl/session.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "osctl/failure.h"

namespace stele::osctl {

ExitCode Session::Report(absl::string_view node, const absl::Status& status) {
  console_->Err(FailureLine(node, status));
  return ExitCodeOf(status);
}

absl::StatusOr<std::vector<std::string>> Session::Endpoints(const stele::config::v1::ClientContext& context) const {
  std::vector<std::string> known(context.endpoints().begin(), context.endpoints().end());
  std::vector<std::string> chosen;
  for (const std::string& list : options_->nodes) {
    for (absl::string_view name : absl::StrSplit(list, ',', absl::SkipEmpty())) {
      if (name == "all") {
        chosen.insert(chosen.end(), known.begin(), known.end());
      } else {
        chosen.emplace_back(name);
      }
    }
  }
  // The same node twice would do everything twice.
  std::vector<std::string> once;
  for (std::string& name : chosen) {
    if (std::find(once.begin(), once.end(), name) == once.end()) once.push_back(std::move(name));
  }
  if (!once.empty()) return once;
  if (known.empty())
    return UsageError(absl::StrCat("context ", context.name(), " has no endpoints"), "name a node with -n");
  if (known.size() == 1) return known;
  return UsageError(absl::StrCat("context ", context.name(), " has several nodes"),
                    absl::StrCat("choose with -n, or -n all: ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<std::vector<std::unique_ptr<Node>>> Session::Nodes() {
  ASSIGN_OR_RETURN(std::string path, ContextPath(getenv_));
  ASSIGN_OR_RETURN(auto config, LoadContexts(path));
  ASSIGN_OR_RETURN(auto context, SelectContext(config, options_->context, path));
  ASSIGN_OR_RETURN(ClientKeys keys, LoadKeys(context, path));
  if (!options_->server_name.empty()) keys.server_name = options_->server_name;
  ASSIGN_OR_RETURN(std::vector<std::string> endpoints, Endpoints(context));
  std::vector<std::unique_ptr<Node>> nodes;
  for (const std::string& endpoint : endpoints) {
    ASSIGN_OR_RETURN(Address address, ParseAddress(endpoint));
    nodes.push_back(std::make_unique<Node>(std::move(address), keys, call_timeout()));
  }
  return nodes;
}

ExitCode Session::ForEachNode(absl::string_view doing, const std::function<absl::Status(Node&)>& work) {
  return Work(doing, SIZE_MAX, AfterFailure::kGoOn, work);
}

ExitCode Session::ForEachNode(absl::string_view doing, size_t at_once, const std::function<absl::Status(Node&)>& work) {
  return Work(doing, at_once, AfterFailure::kStop, work);
}

ExitCode Session::Work(absl::string_view doing, size_t at_once, AfterFailure after_failure,
                       const std::function<absl::Status(Node&)>& work) {
  absl::StatusOr<std::vector<std::unique_ptr<Node>>> nodes = Nodes();
  if (!nodes.ok()) return Report("", nodes.status());
  several_nodes_ = nodes->size() > 1;
  std::atomic<size_t> next = 0;
  std::atomic<ExitCode> worst = ExitCode::kOk;
  auto run = [&] {
    for (size_t i = next++; i < nodes->size(); i = next++) {
      Node& node = *(*nodes)[i];
      bool stop = after_failure == AfterFailure::kStop && worst != ExitCode::kOk;
      absl::Status status = stop ? absl::AbortedError("not begun, since another node failed") : work(node);
      if (status.ok()) continue;
      ExitCode code = Report(node.name(), Annotate(status, doing));
      ExitCode before = worst;
      while (before < code && !worst.compare_exchange_weak(before, code)) {
      }
    }
  };
  // One node needs no thread; many wait for the network, so each gets its own.
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(nodes->size(), at_once); ++i) threads.emplace_back(run);
  run();
  for (std::thread& thread : threads) thread.join();
  return worst;
}

std::string Session::Prefix(const Node& node) const { return several_nodes_ ? absl::StrCat(node.name(), ": ") : ""; }

}  // namespace stele::osctl
