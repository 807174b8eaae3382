// The fetching of an image on a folder as stage_driver makes it, without the rest of machined:
//
//   fetch_driver FOLDER FETCH URL [CA-FILE]   tells on standard output what it waits for, where the writing begins, and
//                                             how it ended; FETCH is the confined wget (src/applets/fetch.cc)
#include <cstdio>

#include "absl/time/clock.h"
#include "machined/upgrade/fetch_staging.h"
#include "machined/upgrade/http_stream.h"
#include "machined/upgrade/node_for_test.h"

namespace stele::machined {
namespace {

absl::Status Fetch(const NodeForTest& node, const std::string& program, const std::string& url, const std::string& ca) {
  RETURN_IF_ERROR(CheckUrl(url));
  RemoteFile file(
      {.open = [&](uint64_t offset) { return OpenHttp(program, url, ca, offset); },
       .keep_going = [] { return absl::OkStatus(); },
       .tell = [](const std::string& message) { std::printf("waits %s\n", message.c_str()); },
       .sleep = absl::SleepFor},
      {.tries = 4, .fruitful = 20'000, .silence = absl::Seconds(2), .longest_pause = absl::Milliseconds(100)});
  ASSIGN_OR_RETURN(image_file::TrustedKeys keys, image_file::TrustedKeys::Load(node.folder() + "/keys"));
  FetchCallbacks callbacks;
  std::string step;
  callbacks.keep_going = [] { return absl::OkStatus(); };
  callbacks.progress = [&](const Staging&, const Staging::Progress& progress) {
    if (step != progress.step)
      std::printf("%s %llu\n", progress.step, static_cast<unsigned long long>(progress.offset));
    step = progress.step;
  };
  return FetchAndStage(file, node.Place(), node.Store(), keys, {.asked_by = "a test"}, callbacks);
}

}  // namespace
}  // namespace stele::machined

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  stele::machined::NodeForTest node(argv[1]);
  absl::Status status = stele::machined::Fetch(node, argv[2], argv[3], argc > 4 ? argv[4] : "");
  std::printf("%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
