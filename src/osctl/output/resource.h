// How resources are shown. Types, columns and names come from the protos' options by reflection, so
// a new resource type needs nothing here.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "osctl/output/value.h"
#include "stele/machine/v1/resource_service.pb.h"

namespace stele::osctl {

// A resource type that this osctl knows.
struct ResourceType {
  std::string name;
  std::vector<std::string> aliases;
  const google::protobuf::Descriptor* message = nullptr;
};

// Every message with the `resource` option, by name.
const std::vector<ResourceType>& ResourceTypes();
// By name or alias; nullptr when unknown.
const ResourceType* FindResourceType(absl::string_view name);

enum class Width : unsigned char { kNormal, kWide };

// "ID" and the headings of the type's columns; only "ID", "VERSION" and "OWNER" for an unknown one.
std::vector<std::string> ResourceHeaders(const ResourceType* type, Width width);
// The cells below them.
std::vector<std::string> ResourceCells(const ResourceType* type, const stele::machine::v1::Resource& resource,
                                       Width width, absl::Time now);

// type, id, version, owner, created, updated, body. `node` first, unless empty.
Value ResourceValue(const stele::machine::v1::Resource& resource, absl::string_view node);

// One field for a table: times as ages (wide: absolute), sizes, enums without their prefix.
std::string FieldCell(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor* field,
                      Width width, absl::Time now);
// SERVICE_STATE_RUNNING is "Running"; the zero value is "".
std::string EnumText(const google::protobuf::EnumValueDescriptor* value);

}  // namespace stele::osctl
