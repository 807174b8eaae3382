// The `disks` and `partitions` resources, from /sys/block (Documentation/ABI/stable/sysfs-block) and udev's database.
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/hardware.pb.h"

namespace stele::machined {
namespace {

constexpr uint64_t kSector = 512;  // sysfs counts in these, whatever the disk has

// Columns of a stat file: Documentation/block/stat.rst.
enum StatColumn { kSectorsRead = 2, kSectorsWritten = 6, kInFlight = 8, kBusyMs = 9, kColumns };

// What udev found out about a device: "E:KEY=VALUE" lines of /run/udev/data/bMAJOR:MINOR.
class UdevFacts {
 public:
  explicit UdevFacts(const std::string& folder)
      : text_(BytesOf(absl::StrCat("/run/udev/data/b", TextOf(folder + "/dev")))) {}

  std::string operator[](absl::string_view key) const {
    for (absl::string_view line : absl::StrSplit(text_, '\n')) {
      if (absl::ConsumePrefix(&line, "E:") && absl::ConsumePrefix(&line, key) && absl::ConsumePrefix(&line, "="))
        return Printable(line);
    }
    return "";
  }

 private:
  std::string text_;
};

std::string FirstOf(std::initializer_list<std::string> texts) {
  for (const std::string& text : texts) {
    if (!text.empty()) return text;
  }
  return "";
}

// virtio, nvme, scsi …: the subsystem of the device behind it; empty for what has none, such as device-mapper.
std::string BusOf(const std::string& folder) {
  std::string bus = LinkName(folder + "/device/subsystem");
  // NVMe's namespace has its controller for a device.
  return absl::StartsWith(bus, "nvme") ? "nvme" : bus;
}

void FillActivity(const std::string& folder, resource::v1::Disk* disk) {
  std::string stat = TextOf(folder + "/stat");
  std::vector<absl::string_view> fields = absl::StrSplit(stat, ' ', absl::SkipEmpty());
  if (fields.size() < kColumns) return;
  uint64_t numbers[kColumns] = {};
  for (size_t i = 0; i < kColumns; ++i) {
    if (!absl::SimpleAtoi(fields[i], &numbers[i])) numbers[i] = 0;
  }
  disk->set_read_bytes(numbers[kSectorsRead] * kSector);
  disk->set_written_bytes(numbers[kSectorsWritten] * kSector);
  disk->set_in_flight(numbers[kInFlight]);
  SetDuration(absl::Milliseconds(numbers[kBusyMs]), disk->mutable_busy());
}

}  // namespace

absl::StatusOr<Provided> ReadDisks() {
  Provided all;
  for (const std::string& name : NamesIn("/sys/block")) {
    std::string folder = absl::StrCat("/sys/block/", name);
    uint64_t size = NumberOf(folder + "/size");
    if (size == 0) continue;  // a loop device without a file, a drive without a medium
    UdevFacts udev(folder);
    auto* disk = Provide<resource::v1::Disk>(all, name);
    disk->set_size_bytes(size * kSector);
    disk->set_model(TextOf(folder + "/device/model"));
    disk->set_serial(FirstOf({TextOf(folder + "/device/serial"), TextOf(folder + "/serial"), udev["ID_SERIAL_SHORT"]}));
    disk->set_bus(BusOf(folder));
    disk->set_rotational(NumberOf(folder + "/queue/rotational") != 0);
    disk->set_read_only(NumberOf(folder + "/ro") != 0);
    disk->set_sector_size(static_cast<uint32_t>(NumberOf(folder + "/queue/logical_block_size")));
    disk->set_wwid(FirstOf({TextOf(folder + "/wwid"), TextOf(folder + "/device/wwid"), udev["ID_WWN"]}));
    disk->set_removable(NumberOf(folder + "/removable") != 0);
    FillActivity(folder, disk);
    for (const std::string& holder : NamesIn(folder + "/holders")) disk->add_holders(holder);
  }
  return all;
}

absl::StatusOr<Provided> ReadPartitions() {
  Provided all;
  for (const std::string& disk : NamesIn("/sys/block")) {
    for (const std::string& name : NamesIn(absl::StrCat("/sys/block/", disk))) {
      std::string folder = absl::StrCat("/sys/block/", disk, "/", name);
      uint64_t number = NumberOf(folder + "/partition");
      if (number == 0) continue;
      UdevFacts udev(folder);
      auto* partition = Provide<resource::v1::Partition>(all, name);
      partition->set_disk(disk);
      partition->set_number(static_cast<uint32_t>(number));
      partition->set_size_bytes(NumberOf(folder + "/size") * kSector);
      partition->set_start_bytes(NumberOf(folder + "/start") * kSector);
      partition->set_name(udev["ID_PART_ENTRY_NAME"]);
      partition->set_fstype(udev["ID_FS_TYPE"]);
      partition->set_label(udev["ID_FS_LABEL"]);
      partition->set_uuid(udev["ID_FS_UUID"]);
      partition->set_partition_uuid(udev["ID_PART_ENTRY_UUID"]);
    }
  }
  return all;
}

}  // namespace stele::machined
