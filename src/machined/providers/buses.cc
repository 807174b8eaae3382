// The `pcidevices` and `usbdevices` resources, from /sys/bus.
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/hardware.pb.h"

namespace stele::machined {
namespace {

// 0x8086 → 8086.
std::string Hex(const std::string& path) {
  std::string text = TextOf(path);
  return absl::StartsWith(text, "0x") ? text.substr(2) : text;
}

// The base classes of the PCI Code and ID Assignment Specification, section 1.
std::string ClassName(absl::string_view code) {
  static constexpr const char* kNames[] = {"old",       "storage",    "network",       "display",    "multimedia",
                                           "memory",    "bridge",     "communication", "system",     "input",
                                           "docking",   "processor",  "serial bus",    "wireless",   "intelligent",
                                           "satellite", "encryption", "signal",        "accelerator"};
  uint32_t base = 0;
  if (code.size() < 2 || !absl::SimpleHexAtoi(code.substr(0, 2), &base)) return "";
  return base < std::size(kNames) ? kNames[base] : "other";
}

}  // namespace

absl::StatusOr<Provided> ReadPciDevices() {
  Provided all;
  for (const std::string& address : NamesIn("/sys/bus/pci/devices")) {
    std::string folder = absl::StrCat("/sys/bus/pci/devices/", address, "/");
    auto* device = Provide<resource::v1::PciDevice>(all, address);
    std::string code = Hex(folder + "class");
    device->set_device(absl::StrCat(Hex(folder + "vendor"), ":", Hex(folder + "device")));
    device->set_subsystem(absl::StrCat(Hex(folder + "subsystem_vendor"), ":", Hex(folder + "subsystem_device")));
    device->set_class_code(code);
    device->set_device_class(ClassName(code));
    device->set_driver(LinkName(folder + "driver"));
    int32_t node = -1;
    if (!absl::SimpleAtoi(TextOf(folder + "numa_node"), &node)) node = -1;
    device->set_numa_node(node);
  }
  return all;
}

absl::StatusOr<Provided> ReadUsbDevices() {
  Provided all;
  for (const std::string& port : NamesIn("/sys/bus/usb/devices")) {
    std::string folder = absl::StrCat("/sys/bus/usb/devices/", port, "/");
    std::string vendor = TextOf(folder + "idVendor");
    if (vendor.empty()) continue;  // one of a device's interfaces
    auto* device = Provide<resource::v1::UsbDevice>(all, port);
    device->set_device(absl::StrCat(vendor, ":", TextOf(folder + "idProduct")));
    device->set_manufacturer(TextOf(folder + "manufacturer"));
    device->set_product(TextOf(folder + "product"));
    device->set_speed_mbits(TextOf(folder + "speed"));
    device->set_serial(TextOf(folder + "serial"));
  }
  return all;
}

}  // namespace stele::machined
