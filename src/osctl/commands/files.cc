#include "osctl/commands/files.h"

#include "absl/strings/str_cat.h"
#include "osctl/failure.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::Omission;

const char* Why(const Omission& omission) {
  switch (omission.reason()) {
    case stele::machine::v1::OMISSION_REASON_ROLE:
      return "left out, for a higher role";
    case stele::machine::v1::OMISSION_REASON_NOBODY:
      return "left out, for no role: keys, tokens, state";
    case stele::machine::v1::OMISSION_REASON_MOUNT:
      return "left out, being other file systems";
    case stele::machine::v1::OMISSION_REASON_DEPTH:
      return "not entered, being too deep";
    case stele::machine::v1::OMISSION_REASON_ENTRIES:
      return "left out at least, since there are too many: ask for less at a time";
    case stele::machine::v1::OMISSION_REASON_KIND:
      return "left out, being devices, FIFOs or sockets";
    case stele::machine::v1::OMISSION_REASON_CHANGED:
      return "changed or vanished meanwhile";
    case stele::machine::v1::OMISSION_REASON_ERROR:
      return "could not be read";
    default:
      return "left out";
  }
}

}  // namespace

absl::Status FileFailure(absl::Status status) {
  // The node's text says which role it takes, if any does; a higher one is no help where none does.
  if (!absl::IsPermissionDenied(status)) return status;
  return WithExit(std::move(status), ExitCode::kPermission, "`osctl ls` shows under FOR who may read what");
}

std::string PlainText(absl::string_view text) {
  std::string plain(text);
  for (char& c : plain) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return plain;
}

std::string OmissionText(const Omission& omission) {
  return absl::StrCat(omission.count(), " ", Why(omission), ": ", PlainText(omission.first_path()),
                      omission.count() > 1 ? " and others" : "");
}

Value NamedValue(absl::string_view node, const google::protobuf::Message& message) {
  Value value = Value::Map();
  if (!node.empty()) value.Add("node", Value::String(node));
  Value fields = FromProto(message);
  for (const auto& [key, field] : fields.items()) value.Add(key, field);
  return value;
}

}  // namespace stele::osctl
