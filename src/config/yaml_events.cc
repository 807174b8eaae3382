#include "config/yaml_events.h"

#include <cstring>

namespace stele::config {
namespace {

Mark FromYaml(const yaml_mark_t& mark) {
  return {static_cast<uint32_t>(mark.line + 1), static_cast<uint32_t>(mark.column + 1)};
}

}  // namespace

YamlEvents::YamlEvents(absl::string_view text, size_t max_nodes, size_t max_depth)
    : nodes_left_(max_nodes), max_depth_(max_depth) {
  if (yaml_parser_initialize(&parser_) == 0) {
    std::memset(&parser_, 0, sizeof parser_);  // so that deleting it is harmless
    Fail({}, "no memory to read YAML");
    return;
  }
  yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  // Not left to a guess: with a UTF-16 byte order mark libyaml would read another text than CheckText did.
  yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
}

YamlEvents::~YamlEvents() {
  yaml_event_delete(&event_);
  yaml_parser_delete(&parser_);
}

Mark YamlEvents::mark() const { return FromYaml(event_.start_mark); }

absl::string_view YamlEvents::scalar() const {
  return {reinterpret_cast<const char*>(event_.data.scalar.value), event_.data.scalar.length};
}

bool YamlEvents::Next() {
  if (failed_) return false;
  yaml_event_delete(&event_);
  if (yaml_parser_parse(&parser_, &event_) == 0) {
    FailFromParser();
    return false;
  }
  CheckEvent();
  return !failed_;
}

bool YamlEvents::Skip() {
  size_t outside = depth_;
  if (type() == YAML_MAPPING_START_EVENT || type() == YAML_SEQUENCE_START_EVENT) --outside;
  while (!failed_ && depth_ > outside) Next();
  return Next();
}

void YamlEvents::Fail(Mark mark, std::string reason) {
  failed_ = true;
  problem_ = {mark.line, mark.column, "", std::move(reason)};
}

void YamlEvents::FailFromParser() {
  std::string reason = parser_.problem != nullptr ? parser_.problem : "not YAML";
  if (parser_.context != nullptr) reason = absl::StrCat(parser_.context, ": ", reason);
  Fail(FromYaml(parser_.problem_mark), absl::StrCat("not valid YAML: ", reason));
}

// What is YAML but not ours, and the bounds.
void YamlEvents::CheckEvent() {
  const unsigned char* anchor = nullptr;
  const unsigned char* tag = nullptr;
  bool node = true;
  switch (event_.type) {
    case YAML_DOCUMENT_START_EVENT:
      node = false;
      if (document_seen_) return Fail(mark(), "a second document; only one is allowed");
      document_seen_ = true;
      if (event_.data.document_start.version_directive != nullptr ||
          event_.data.document_start.tag_directives.start != event_.data.document_start.tag_directives.end) {
        return Fail({1, 1}, "directives (%YAML, %TAG) are not allowed");
      }
      break;
    case YAML_ALIAS_EVENT:
      if (anchors_allowed_) break;
      return Fail(mark(), "aliases (*name) are not allowed; write the value again");
    case YAML_SCALAR_EVENT:
      anchor = event_.data.scalar.anchor;
      tag = event_.data.scalar.tag;
      break;
    case YAML_SEQUENCE_START_EVENT:
      anchor = event_.data.sequence_start.anchor;
      tag = event_.data.sequence_start.tag;
      ++depth_;
      break;
    case YAML_MAPPING_START_EVENT:
      anchor = event_.data.mapping_start.anchor;
      tag = event_.data.mapping_start.tag;
      ++depth_;
      break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
      --depth_;
      node = false;
      break;
    default:
      node = false;
  }
  if (anchor != nullptr && !anchors_allowed_) return Fail(mark(), "anchors (&name) are not allowed");
  if (tag != nullptr && !anchors_allowed_) return Fail(mark(), "tags (!name) are not allowed");
  if (depth_ > max_depth_) return Fail(mark(), absl::StrCat("nested deeper than ", max_depth_, " levels"));
  if (node && nodes_left_-- == 0) return Fail(mark(), "too many keys and values for one file");
}

}  // namespace stele::config
