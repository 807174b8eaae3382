// Logs of containers that the node holds on to.
#include "machined/kept_logs.h"

#include "absl/strings/str_cat.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {

absl::StatusOr<Provided> ReadKeptLogs() {
  Provided all;
  for (const KeptLogFile& file : ListKeptLogs({})) {
    std::string id = absl::StrCat(file.uid.substr(0, 8), "/", file.container, "/", file.run);
    auto* log = Provide<resource::v1::KeptLog>(all, std::move(id));
    if (log == nullptr) continue;
    log->set_pod(absl::StrCat(file.name_space, "/", file.pod));
    log->set_container(file.container);
    log->set_run(file.run);
    log->set_gone(file.gone);
    log->set_size_bytes(file.bytes);
    log->mutable_written()->set_seconds(absl::ToUnixSeconds(file.written));
    log->set_pod_uid(file.uid);
    log->set_path(file.path);
  }
  return all;
}

}  // namespace stele::machined
