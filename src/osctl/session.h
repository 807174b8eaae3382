// One run of osctl: what was asked for globally, where output goes, and the nodes it speaks to.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "osctl/client/follow.h"
#include "osctl/client/node.h"
#include "osctl/console.h"
#include "osctl/context.h"
#include "osctl/exit_code.h"
#include "osctl/inventory.h"

namespace stele::osctl {

struct Command;

// The options that every command takes.
struct GlobalOptions {
  std::vector<std::string> nodes;
  std::string context;
  std::string server_name;
  absl::Duration timeout = absl::ZeroDuration();   // zero: what fits the command
  uint32_t concurrency = 0;                        // 0: what fits the command
  absl::Duration deadline = absl::ZeroDuration();  // zero: none
};

inline constexpr absl::Duration kCallTimeout = absl::Seconds(10);
// Handshakes under way at once: enough that silent nodes do not hold up the others, few enough that their memory
// (some 100 KB each) stays small.
inline constexpr size_t kNodesAtOnce = 128;

// How long the work with one node goes on: until it is done, or until somebody ends it. In the second case no node
// may wait for another's end.
enum class Lasts : unsigned char { kUntilDone, kUntilEnded };

class Session {
 public:
  Session(GlobalOptions* options, Getenv getenv, Console* console, const Command* root)
      : options_(options), getenv_(std::move(getenv)), console_(console), root_(root) {}

  Console& console() { return *console_; }
  const GlobalOptions& options() const { return *options_; }
  const Getenv& getenv() const { return getenv_; }
  const Command& root() const { return *root_; }

  // Prints the failure's line on stderr and answers its exit code.
  ExitCode Report(absl::string_view node, const absl::Status& status);

  // --timeout as the time of one call, or of a connection.
  absl::Duration call_timeout() const {
    return options_->timeout == absl::ZeroDuration() ? default_timeout_ : options_->timeout;
  }
  // For commands whose calls take longer than others'. Before ForEachNode.
  void set_default_timeout(absl::Duration timeout) { default_timeout_ = timeout; }
  // --timeout as the time that a follower bears without its node.
  absl::Duration follow_patience() const {
    return options_->timeout == absl::ZeroDuration() ? kFollowPatience : options_->timeout;
  }

  // The nodes of -n, else of the context: at least one. Asks none of them.
  absl::StatusOr<std::vector<Target>> Targets();
  // The first of them.
  absl::StatusOr<std::unique_ptr<Node>> FirstNode();
  // All of them, for commands that show several at once: their work is theirs to arrange.
  absl::StatusOr<std::vector<std::unique_ptr<Node>>> Nodes();

  // Calls `work` for every node, side by side when there are several (--concurrency), and reports each failure, with
  // `doing` before its text, and at the end how many of several failed. Answers the worst exit code, which is the
  // highest. A node lives as long as its `work`: a connection is closed as soon as it is not needed.
  ExitCode ForEachNode(absl::string_view doing, const std::function<absl::Status(Node&)>& work) {
    return ForEachNode(doing, Lasts::kUntilDone, work);
  }
  ExitCode ForEachNode(absl::string_view doing, Lasts lasts, const std::function<absl::Status(Node&)>& work);
  // The same with at most `at_once` nodes at a time. Once one has failed no other is begun, and each that
  // was left out is named: what is bad for one node shall not reach all of them.
  ExitCode ForEachNode(absl::string_view doing, size_t at_once, const std::function<absl::Status(Node&)>& work);
  // Whether ForEachNode has several nodes: then output must name its node. Valid inside `work`.
  bool several_nodes() const { return several_nodes_; }
  // "NODE" when there are several, else nothing; Prefix: the same with ": ".
  std::string Label(const Node& node) const { return several_nodes_ ? node.name() : ""; }
  std::string Prefix(const Node& node) const;
  // One line about the node on stderr.
  void Tell(const Node& node, absl::string_view text) { console_->Err(absl::StrCat(Prefix(node), text, "\n")); }

 private:
  enum class AfterFailure : unsigned char { kGoOn, kStop };

  struct Fleet {
    std::vector<Target> targets;
    ClientKeys keys;
  };
  absl::StatusOr<Fleet> ChooseFleet();
  absl::StatusOr<std::unique_ptr<Node>> NodeOf(const Fleet& fleet, const Target& target) const;
  ExitCode Work(absl::string_view doing, const Fleet& fleet, size_t at_once, AfterFailure after_failure,
                const std::function<absl::Status(Node&)>& work);
  void SumUp(size_t nodes, const std::map<ExitCode, std::vector<std::string>>& failed);

  GlobalOptions* options_;
  Getenv getenv_;
  Console* console_;
  const Command* root_;
  bool several_nodes_ = false;
  absl::Duration default_timeout_ = kCallTimeout;
};

}  // namespace stele::osctl
