// Which fields of which resources are figures, and by what names. A new one is a line in metric_table.cc.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/message.h"
#include "machined/metrics/metric_writer.h"

namespace stele::machined {

// One field of a type, and the labels it gets beside the resource's id.
struct MetricField {
  const char* field;
  std::vector<std::pair<const char*, const char*>> labels;  // constant: name, value
};

// A family: numbers as they are, a bool as 0 or 1, a duration in seconds, a time in seconds since 1970. An enum makes a
// sample of each of its values, with the label `state`: 1 for the one it has, 0 for the others.
struct MetricFamily {
  const char* name;
  MetricKind kind;
  const char* unit;
  const char* help;
  const char* type;      // of resources
  const char* id_label;  // what the id is called; null for a type of one resource, whose id says nothing
  std::vector<std::pair<const char*, const char*>> field_labels;  // name, and the field that holds its value
  std::vector<MetricField> fields;
};

const std::vector<MetricFamily>& MetricTable();

// By type, then id.
using MetricSource = std::map<std::string, std::map<std::string, std::shared_ptr<const google::protobuf::Message>>>;

// Writes the whole table. Any thread.
void WriteMetrics(const MetricSource& source, MetricWriter& writer);

}  // namespace stele::machined
