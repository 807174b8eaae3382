// A node's disk as files in a folder: an ESP, two slots, a state folder, keys; and images to stage onto it.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "absl/strings/escaping.h"
#include "image_file/signature.h"
#include "image_file/test_image.h"
#include "machined/upgrade/activation.h"
#include "machined/upgrade/staging.h"
#include "machined/upgrade/uki_for_test.h"

namespace stele::machined {

inline constexpr uint64_t kTestSlotSize = 2 << 20;
// The image that runs at first, from slot a.
inline std::string RunningHash() { return std::string(64, '1'); }

inline void WriteTestFile(const std::string& path, absl::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), bytes.size());
}
inline std::string ReadTestFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// A whole and signed image whose parts are what a machine would boot, in form.
inline image_file::TestImage GoodImage(const std::string& version, uint64_t seed, const image_file::TestKey& key) {
  using image_file::TestImage;
  TestImage image = TestImage::Make(10, 10, 1);
  image.manifest.clear_parts();
  image.parts.clear();
  image.manifest.set_version(version);
  std::string root_hash = image_file::Sha256Of(absl::StrCat("root", seed));
  image.manifest.mutable_verity()->set_root_hash(root_hash);
  image.manifest.mutable_verity()->set_data_blocks(100);
  image.Add(image::v1::PART_KIND_LOADER, MakePe({{".text", TestImage::Noise(6000, seed + 1)}}));
  image.Add(image::v1::PART_KIND_UKI, MakeUki(absl::BytesToHexString(root_hash), 150'000, static_cast<char>(seed)));
  image.Add(image::v1::PART_KIND_ROOT, TestImage::Noise((100 + image_file::VerityTreeBlocks(100)) * 4096, seed + 3));
  image.keys = {key};
  return image;
}

class NodeForTest {
 public:
  explicit NodeForTest(std::string folder) : folder_(std::move(folder)) {}

  void Make(const image_file::TestKey& key) {
    for (const char* path : {"/esp/EFI/Linux", "/esp/EFI/systemd", "/esp/EFI/BOOT", "/keys"}) {
      std::filesystem::create_directories(folder_ + path);
    }
    WriteTestFile(folder_ + "/keys/test.pem", key.PublicPem());
    WriteTestFile(folder_ + "/esp/EFI/BOOT/BOOTX64.EFI", MakePe({{".text", "the first loader"}}));
    WriteTestFile(Uki("stele-1.efi"), MakeUki(RunningHash()));
    for (const char* slot : {"/a", "/b"}) WriteTestFile(folder_ + slot, std::string(kTestSlotSize, *(slot + 1)));
  }

  // Slot a runs, or b with the image that has `root_hash` and was booted as `entry`.
  UpgradePlace Place() const {
    UpgradePlace place;
    place.esp = EspMount::Folder(folder_ + "/esp");
    place.running_slot = "a";
    place.running_device = folder_ + "/a";
    place.running_root_hash = RunningHash();
    place.running_version = "0.1.5";
    place.architecture = "x86_64";
    place.other_slot = "b";
    place.other_device = folder_ + "/b";
    return place;
  }
  UpgradePlace PlaceOnTrial(const std::string& root_hash, const std::string& entry) const {
    UpgradePlace place = Place();
    std::swap(place.running_slot, place.other_slot);
    std::swap(place.running_device, place.other_device);
    place.running_root_hash = root_hash;
    place.running_version = "0.2.0";
    place.entry = "\\EFI\\Linux\\" + entry;
    place.trial = true;
    return place;
  }
  UpgradeStore Store() const { return UpgradeStore(folder_ + "/state/upgrade"); }
  std::string Uki(const std::string& name) const { return folder_ + "/esp/EFI/Linux/" + name; }
  const std::string& folder() const { return folder_; }
  // Names of UKIs, sorted.
  std::vector<std::string> Ukis() const {
    std::vector<std::string> names;
    for (const auto& file : std::filesystem::directory_iterator(folder_ + "/esp/EFI/Linux"))
      names.push_back(file.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  // Those among them that a loader would take, anywhere on the ESP below EFI/Linux.
  std::vector<std::string> Bootable() const {
    std::vector<std::string> names = Ukis();
    names.erase(std::remove_if(names.begin(), names.end(),
                               [](const std::string& name) { return name.find(".efi") == std::string::npos; }),
                names.end());
    return names;
  }

  struct Upload {
    bool force = false;
    bool validate_only = false;
    size_t piece = 50'000;                       // bytes in a chunk of the stream
    size_t ends_at = SIZE_MAX;                   // of the file: where the stream ends
    std::function<absl::Status(uint64_t)> next;  // asked before each piece
    std::function<void(const char*)> begins = [](const char*) {};
    uint64_t started_at = 0;  // out: where the node asked to go on
  };
  // Stages a file as a client would send it. `header` is what StageBegin carries.
  absl::Status Stage(const UpgradePlace& place, const std::string& header, absl::string_view file,
                     Upload& upload) const {
    absl::StatusOr<image_file::TrustedKeys> keys = image_file::TrustedKeys::Load(folder_ + "/keys");
    if (!keys.ok()) return keys.status();
    UpgradeStore store = Store();
    bool told = false;
    uint64_t at = 0;
    Staging::Callbacks callbacks;
    callbacks.begins = upload.begins;
    callbacks.keep_going = [] { return absl::OkStatus(); };
    callbacks.progress = [&](const Staging::Progress& progress) {
      if (std::string(progress.step) == "write" && !std::exchange(told, true)) upload.started_at = at = progress.offset;
    };
    callbacks.next = [&]() -> absl::StatusOr<std::string> {
      if (upload.next) RETURN_IF_ERROR(upload.next(at));
      absl::string_view rest = file.substr(0, std::min(upload.ends_at, file.size()));
      rest = at < rest.size() ? rest.substr(at, upload.piece) : absl::string_view();
      at += rest.size();
      return std::string(rest);
    };
    return Staging(place, store, *keys, {header, upload.force, upload.validate_only, "a test"}, callbacks).Run();
  }

 private:
  std::string folder_;
};

}  // namespace stele::machined
