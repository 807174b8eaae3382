#include "osctl/session.h"

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "osctl/failure.h"

namespace stele::osctl {

namespace {

// From so many nodes on a terminal is told how far it is.
constexpr size_t kNodesOfAFleet = 8;

}  // namespace

ExitCode Session::Report(absl::string_view node, const absl::Status& status) {
  console_->Err(FailureLine(node, status));
  return ExitCodeOf(status);
}

absl::StatusOr<Session::Fleet> Session::ChooseFleet() {
  ASSIGN_OR_RETURN(std::string path, ContextPath(getenv_));
  ASSIGN_OR_RETURN(auto config, LoadContexts(path));
  ASSIGN_OR_RETURN(auto context, SelectContext(config, options_->context, path));
  Fleet fleet;
  ASSIGN_OR_RETURN(fleet.keys, LoadKeys(context, path));
  ASSIGN_OR_RETURN(fleet.targets, ChooseTargets(context, options_->nodes));
  if (options_->server_name.empty()) return fleet;
  fleet.keys.server_name = options_->server_name;
  for (Target& target : fleet.targets) target.server_name.clear();
  return fleet;
}

absl::StatusOr<std::unique_ptr<Node>> Session::NodeOf(const Fleet& fleet, const Target& target) const {
  ASSIGN_OR_RETURN(Address address, ParseAddress(target.address));
  ClientKeys keys = fleet.keys;
  if (!target.server_name.empty()) keys.server_name = target.server_name;
  auto node = std::make_unique<Node>(std::move(address), std::move(keys), call_timeout());
  if (target.name != target.address) node->set_name(target.name);
  if (options_->deadline != absl::ZeroDuration()) node->set_limit(options_->deadline);
  return node;
}

absl::StatusOr<std::vector<Target>> Session::Targets() {
  ASSIGN_OR_RETURN(Fleet fleet, ChooseFleet());
  return std::move(fleet.targets);
}

absl::StatusOr<std::unique_ptr<Node>> Session::FirstNode() {
  ASSIGN_OR_RETURN(Fleet fleet, ChooseFleet());
  return NodeOf(fleet, fleet.targets.front());
}

absl::StatusOr<std::vector<std::unique_ptr<Node>>> Session::Nodes() {
  ASSIGN_OR_RETURN(Fleet fleet, ChooseFleet());
  std::vector<std::unique_ptr<Node>> nodes;
  for (const Target& target : fleet.targets) {
    ASSIGN_OR_RETURN(nodes.emplace_back(), NodeOf(fleet, target));
  }
  return nodes;
}

ExitCode Session::ForEachNode(absl::string_view doing, Lasts lasts, const std::function<absl::Status(Node&)>& work) {
  absl::StatusOr<Fleet> fleet = ChooseFleet();
  if (!fleet.ok()) return Report("", fleet.status());
  size_t nodes = fleet->targets.size(), limit = options_->concurrency;
  if (lasts == Lasts::kUntilEnded && limit != 0 && limit < nodes) {
    return Report("", UsageError(absl::StrCat(doing, ": --concurrency ", limit, " is too few for ", nodes,
                                              " nodes: it goes on with all of them"),
                                 "leave it out, or choose fewer nodes"));
  }
  if (limit == 0) limit = lasts == Lasts::kUntilEnded ? nodes : kNodesAtOnce;
  return Work(doing, *fleet, limit, AfterFailure::kGoOn, work);
}

ExitCode Session::ForEachNode(absl::string_view doing, size_t at_once, const std::function<absl::Status(Node&)>& work) {
  absl::StatusOr<Fleet> fleet = ChooseFleet();
  if (!fleet.ok()) return Report("", fleet.status());
  size_t limit = options_->concurrency == 0 ? at_once : std::min<size_t>(at_once, options_->concurrency);
  return Work(doing, *fleet, limit, AfterFailure::kStop, work);
}

ExitCode Session::Work(absl::string_view doing, const Fleet& fleet, size_t at_once, AfterFailure after_failure,
                       const std::function<absl::Status(Node&)>& work) {
  const std::vector<Target>& targets = fleet.targets;
  several_nodes_ = targets.size() > 1;
  std::mutex mutex;
  size_t next = 0, done = 0, failures = 0;
  std::map<ExitCode, std::vector<std::string>> failed;
  auto one = [&](const Target& target, bool begin) -> absl::Status {
    if (!begin) return absl::AbortedError("not begun, since another node failed");
    ASSIGN_OR_RETURN(std::unique_ptr<Node> node, NodeOf(fleet, target));
    return work(*node);
  };
  auto run = [&] {
    std::unique_lock<std::mutex> lock(mutex);
    while (next < targets.size()) {
      const Target& target = targets[next++];
      bool begin = after_failure == AfterFailure::kGoOn || failed.empty();
      lock.unlock();
      absl::Status status = one(target, begin);
      // Before it is counted: what is reported is above how far we are.
      ExitCode code = status.ok() ? ExitCode::kOk : Report(target.name, Annotate(status, doing));
      lock.lock();
      ++done;
      if (code != ExitCode::kOk) {
        failed[code].push_back(target.name);
        ++failures;
      }
      if (targets.size() < kNodesOfAFleet) continue;
      console_->Background(absl::StrCat(doing, ": ", done, " of ", targets.size(), " nodes",
                                        failures == 0 ? "" : absl::StrCat(", ", failures, " failed")));
    }
  };
  // One node needs no thread; many wait for the network, so each that is under way gets its own.
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(targets.size(), at_once); ++i) threads.emplace_back(run);
  run();
  for (std::thread& thread : threads) thread.join();
  console_->Background("");
  if (failed.empty()) return ExitCode::kOk;
  if (several_nodes_) SumUp(targets.size(), failed);
  return failed.rbegin()->first;
}

// Each was told when it happened; this is what is left to do, in one line.
void Session::SumUp(size_t nodes, const std::map<ExitCode, std::vector<std::string>>& failed) {
  size_t failures = 0;
  std::string which;
  for (const auto& [code, names] : failed) {
    failures += names.size();
    absl::StrAppend(&which, "; ", ExitCodes()[static_cast<size_t>(code)].name, " (exit ", static_cast<int>(code),
                    "): ", NamesOf(names));
  }
  console_->Err(absl::StrCat("osctl: ", failures, " of ", nodes, " nodes failed", which, "\n"));
}

std::string Session::Prefix(const Node& node) const { return several_nodes_ ? absl::StrCat(node.name(), ": ") : ""; }

}  // namespace stele::osctl
