#include "config/yaml_outline.h"

#include "config/text_check.h"
#include "config/yaml_events.h"

namespace stele::config {
namespace {

void Walk(YamlEvents* events, const std::string& path, YamlOutline* outline);

void WalkMapping(YamlEvents* events, const std::string& path, YamlOutline* outline) {
  events->Next();
  while (!events->failed() && events->type() != YAML_MAPPING_END_EVENT) {
    std::string key = events->type() == YAML_SCALAR_EVENT ? std::string(events->scalar()) : "?";
    if (!events->Skip()) return;
    Walk(events, path.empty() ? key : absl::StrCat(path, ".", key), outline);
  }
  events->Next();
}

void Walk(YamlEvents* events, const std::string& path, YamlOutline* outline) {
  switch (events->type()) {
    case YAML_MAPPING_START_EVENT:
      return WalkMapping(events, path, outline);
    case YAML_SEQUENCE_START_EVENT:
      events->Next();
      for (int i = 0; !events->failed() && events->type() != YAML_SEQUENCE_END_EVENT; ++i) {
        Walk(events, absl::StrCat(path, "[", i, "]"), outline);
      }
      events->Next();
      return;
    case YAML_SCALAR_EVENT:
      outline->scalars[path] = std::string(events->scalar());
      events->Next();
      return;
    default:
      events->Next();
  }
}

}  // namespace

std::string YamlOutline::Get(const std::string& path) const {
  auto found = scalars.find(path);
  return found == scalars.end() ? "" : found->second;
}

YamlOutline ReadYamlOutline(absl::string_view yaml) {
  YamlOutline outline;
  if (yaml.size() > 1 << 20) {
    outline.problem = {1, 1, "", "longer than 1 MiB"};
    return outline;
  }
  if (std::optional<Problem> problem = CheckText(yaml)) {
    outline.problem = *problem;
    return outline;
  }
  YamlEvents events(yaml, 20'000, 64);
  events.AllowAnchors();
  events.Next();
  if (events.Next() && events.type() == YAML_DOCUMENT_START_EVENT && events.Next()) Walk(&events, "", &outline);
  while (!events.failed() && events.type() != YAML_STREAM_END_EVENT) events.Next();
  outline.problem = events.problem();
  return outline;
}

}  // namespace stele::config
