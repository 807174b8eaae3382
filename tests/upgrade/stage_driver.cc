// A node's upgrade on a folder, step by step, without the rest of machined:
//
//   stage_driver phases              the phases there are, one a line: staging's table, then what follows it
//   stage_driver make FOLDER         a node with an image in slot a, and the file of another that follows it
//   stage_driver run FOLDER PHASES   one process from here on, telling each phase on descriptor 2 as it begins:
//                stage, activate, bless, fail, back, drop
//   stage_driver state FOLDER        what is there, in words that no time changes
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "machined/upgrade/node_for_test.h"

namespace stele::machined {
namespace {

absl::Status Go() { return absl::OkStatus(); }

// One write that is seen in a trace of system calls.
void Tell(const char* phase) {
  std::string line = absl::StrCat("phase ", phase, "\n");
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) std::perror("tell the phase");
}

int Make(const std::string& folder) {
  image_file::TestKey key = image_file::TestKey::Ed25519();
  NodeForTest node(folder);
  node.Make(key);
  image_file::TestImage image = GoodImage("0.2.0", 7, key);
  WriteTestFile(folder + "/image.header", image.HeaderBytes());
  WriteTestFile(folder + "/image", image.FileBytes());
  return 0;
}

class Run {
 public:
  explicit Run(const std::string& folder) : node_(folder) {
    header_ = ReadTestFile(folder + "/image.header");
    file_ = ReadTestFile(folder + "/image");
  }

  absl::Status Phase(const std::string& name) {
    if (name == "stage") return Stage();
    Tell(name.c_str());
    UpgradePlace here = node_.Place(), there = Trial();
    if (name == "activate") {
      auto entries = [](const std::string&) { return absl::OkStatus(); };
      RETURN_IF_ERROR(ActivateStaged(here, node_.Store(), entries, {.asked_by = "a test"}, Go, &warnings_));
      // A loader that stays the one before is no failure of an activation, but is one of a test that says all went
      // well.
      return warnings_.empty() ? absl::OkStatus() : absl::UnavailableError(warnings_[0]);
    }
    if (name == "bless") {
      RETURN_IF_ERROR(BlessRunning(there, node_.Store(), &warnings_));
      return warnings_.empty() ? absl::OkStatus() : absl::UnavailableError(warnings_[0]);
    }
    if (name == "fail") return FailRunning(there, node_.Store(), "it was never healthy");
    if (name == "back") return ActivateOther(here, node_.Store(), {.asked_by = "a test"}, false, Go).status();
    if (name == "drop") {
      absl::StatusOr<std::string> dropped = DropStaged(here, node_.Store(), "a test");
      return absl::IsFailedPrecondition(dropped.status()) ? absl::OkStatus() : dropped.status();  // dropped before
    }
    return absl::InvalidArgumentError(absl::StrCat("no phase ", name));
  }

 private:
  absl::Status Stage() {
    NodeForTest::Upload upload;
    upload.begins = Tell;
    return node_.Stage(node_.Place(), header_, file_, upload);
  }

  UpgradePlace Trial() const {
    absl::StatusOr<image_file::Header> header = image_file::ParseHeader(header_);
    std::string root_hash = header.ok() ? absl::BytesToHexString(header->manifest.verity().root_hash()) : "";
    return node_.PlaceOnTrial(root_hash, "stele-2+2-1.efi");
  }

  NodeForTest node_;
  std::string header_;
  std::string file_;
  std::vector<std::string> warnings_;
};

int State(const std::string& folder) {
  NodeForTest node(folder);
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder)) {
    std::string name = file.path().lexically_relative(folder);
    if (!file.is_regular_file() || name.find("upgrade/") != std::string::npos) continue;
    std::printf("%s %s\n", name.c_str(),
                absl::BytesToHexString(image_file::Sha256Of(ReadTestFile(file.path()))).c_str());
  }
  std::vector<std::string> passed_over;
  UpgradeRecord record = node.Store().Load(&passed_over);
  for (const char* slot : {"a", "b"}) {
    auto header = node.Store().Manifest(slot, &passed_over);
    std::printf("manifest %s %s\n", slot, header.has_value() ? header->manifest.version().c_str() : "-");
  }
  std::printf("record %d %s from %s in %s number %llu\n", static_cast<int>(record.state()), record.version().c_str(),
              record.from_version().c_str(), record.slot().c_str(), static_cast<unsigned long long>(record.number()));
  std::printf("failures %zu damaged %zu\n", node.Store().Failures(&passed_over).size(), passed_over.size());
  return 0;
}

int Phases() {
  for (const StageStep& step : StageSteps()) std::printf("stage %s\n", step.name);
  for (const char* name : {"activate", "bless", "fail", "back", "drop"}) std::printf("%s %s\n", name, name);
  return 0;
}

int Main(int argc, char** argv) {
  std::string command = argc > 1 ? argv[1] : "";
  if (command == "phases") return Phases();
  if (command == "make" && argc == 3) return Make(argv[2]);
  if (command == "state" && argc == 3) return State(argv[2]);
  if (command != "run" || argc < 4) return 2;
  Run run(argv[2]);
  for (int i = 3; i < argc; ++i) {
    if (absl::Status status = run.Phase(argv[i]); !status.ok()) {
      std::fprintf(stderr, "%s: %s\n", argv[i], status.ToString().c_str());
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace stele::machined

int main(int argc, char** argv) { return stele::machined::Main(argc, argv); }
