// libyaml's events, one at a time, within bounds.
#pragma once

#include <yaml.h>

#include "absl/strings/string_view.h"
#include "config/problem.h"

namespace stele::config {

// Pulls events out of `text`. The first thing wrong with the YAML itself, or the first bound crossed, ends
// the stream for good: failed() is then true and problem() says why. Memory is bounded by what libyaml
// looks ahead, 1,024 characters.
class YamlEvents {
 public:
  // `text` must outlive this and have passed CheckText.
  YamlEvents(absl::string_view text, size_t max_nodes, size_t max_depth);
  ~YamlEvents();
  YamlEvents(const YamlEvents&) = delete;
  YamlEvents& operator=(const YamlEvents&) = delete;

  // For texts that are not ours: anchors, aliases and tags pass. An alias is one event, so nothing grows.
  void AllowAnchors() { anchors_allowed_ = true; }

  // The present event; valid until Next().
  const yaml_event_t& event() const { return event_; }
  yaml_event_type_t type() const { return failed_ ? YAML_NO_EVENT : event_.type; }
  Mark mark() const;
  absl::string_view scalar() const;
  // Where the present event begins and ends in the text, in characters (not bytes). A block's end is behind its last
  // line break and any empty lines.
  size_t begin() const { return event_.start_mark.index; }
  size_t end() const { return event_.end_mark.index; }
  bool plain() const { return event_.data.scalar.style == YAML_PLAIN_SCALAR_STYLE; }

  // Goes to the next event. False at a failure.
  bool Next();
  // Leaves the node that starts here, with all below it. Keys that are written twice are not seen.
  bool Skip();
  // Ends the stream with a problem of the caller's.
  void Fail(Mark mark, std::string reason);

  bool failed() const { return failed_; }
  const Problem& problem() const { return problem_; }

 private:
  void CheckEvent();
  void FailFromParser();

  yaml_parser_t parser_;
  yaml_event_t event_ = {};
  size_t nodes_left_;
  size_t max_depth_;
  size_t depth_ = 0;
  bool document_seen_ = false;
  bool anchors_allowed_ = false;
  bool failed_ = false;
  Problem problem_;
};

}  // namespace stele::config
