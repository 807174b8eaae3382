// The `sensors` resources, from /sys/class/hwmon (Documentation/hwmon/sysfs-interface.rst) and /sys/class/thermal.
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/hardware.pb.h"

namespace stele::machined {
namespace {

constexpr struct {
  const char* prefix;
  const char* unit;
  double divisor;
} kKinds[] = {
    {"temp", "°C", 1e3},  {"in", "V", 1e3},  {"curr", "A", 1e3},     {"power", "W", 1e6},
    {"energy", "J", 1e6}, {"fan", "rpm", 1}, {"humidity", "%", 1e3},
};

// "temp1_input" → temp1. False for anything else.
bool SensorName(absl::string_view file, std::string* name) {
  if (!absl::ConsumeSuffix(&file, "_input")) return false;
  *name = std::string(file);
  return true;
}

double Reading(const std::string& path, double divisor) {
  double value = 0;
  return absl::SimpleAtod(TextOf(path), &value) ? value / divisor : 0;
}

void ReadChip(const std::string& chip, Provided& all) {
  std::string folder = absl::StrCat("/sys/class/hwmon/", chip, "/");
  for (const std::string& file : NamesIn(folder)) {
    std::string name;
    if (!SensorName(file, &name)) continue;
    for (const auto& kind : kKinds) {
      // A digit behind it: "in" is no beginning of "intrusion0".
      absl::string_view number = name;
      if (!absl::ConsumePrefix(&number, kind.prefix) || number.empty() || number[0] < '0' || number[0] > '9') continue;
      if (TextOf(folder + file).empty()) continue;  // it does not answer
      auto* sensor = Provide<resource::v1::Sensor>(all, absl::StrCat(chip, "/", name));
      sensor->set_chip(TextOf(folder + "name"));
      sensor->set_label(TextOf(absl::StrCat(folder, name, "_label")));
      sensor->set_value(Reading(folder + file, kind.divisor));
      sensor->set_unit(kind.unit);
      sensor->set_maximum(Reading(absl::StrCat(folder, name, "_max"), kind.divisor));
      sensor->set_critical(Reading(absl::StrCat(folder, name, "_crit"), kind.divisor));
      sensor->set_alarm(NumberOf(absl::StrCat(folder, name, "_alarm")) != 0);
      break;
    }
  }
}

}  // namespace

absl::StatusOr<Provided> ReadSensors() {
  Provided all;
  for (const std::string& chip : NamesIn("/sys/class/hwmon")) ReadChip(chip, all);
  for (const std::string& zone : NamesIn("/sys/class/thermal")) {
    std::string folder = absl::StrCat("/sys/class/thermal/", zone, "/");
    if (!absl::StartsWith(zone, "thermal_zone") || TextOf(folder + "temp").empty()) continue;
    auto* sensor = Provide<resource::v1::Sensor>(all, zone);
    sensor->set_chip("thermal");
    sensor->set_label(TextOf(folder + "type"));
    sensor->set_value(Reading(folder + "temp", 1e3));
    sensor->set_unit("°C");
  }
  return all;
}

}  // namespace stele::machined
