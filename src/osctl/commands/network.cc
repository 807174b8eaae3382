#include "osctl/commands/network.h"

#include "osctl/failure.h"
#include "osctl/output/format.h"

namespace stele::osctl {

void AddFamilyArguments(FamilyOptions* options, std::vector<Argument>* arguments) {
  arguments->push_back({"-4,--ipv4", "", "only IPv4", &options->ipv4});
  arguments->push_back({"-6,--ipv6", "", "only IPv6", &options->ipv6});
}

absl::StatusOr<stele::machine::v1::IpFamily> FamilyOf(const FamilyOptions& options) {
  if (options.ipv4 && options.ipv6) return UsageError("-4 and -6 leave nothing");
  if (options.ipv4) return stele::machine::v1::IP_FAMILY_IPV4;
  if (options.ipv6) return stele::machine::v1::IP_FAMILY_IPV6;
  return stele::machine::v1::IP_FAMILY_UNSPECIFIED;
}

Argument SourceArgument(std::string* source) {
  return {"-I,--source", "ADDRESS", "the node's address or interface to send from", source};
}

std::string Plain(absl::string_view text) {
  std::string plain(text);
  for (char& c : plain) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return plain;
}

std::string StructuredOf(Session& session, const Node& node, const google::protobuf::Message& message,
                         const std::string& format) {
  Value value = Value::Map();
  if (session.several_nodes()) value.Add("node", Value::String(node.name()));
  Value fields = FromProto(message);
  for (const auto& [key, field] : fields.items()) value.Add(key, field);
  // Documents of several nodes follow one another.
  return (format == "yaml" && session.several_nodes() ? "---\n" : "") + Structured(value, format);
}

absl::Status NothingAnswered(absl::string_view why) {
  return Failure(absl::StatusCode::kUnavailable, ExitCode::kFailed, why);
}

}  // namespace stele::osctl
