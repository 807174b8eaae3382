#include "machined/log_sinks/log_sinks_controller.h"

#include <dirent.h>

#include <algorithm>

#include "base/file.h"
#include "google/protobuf/util/message_differencer.h"
#include "machined/kernel_log.h"
#include "machined/log.h"
#include "stele/resource/v1/network.pb.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kLook = absl::Seconds(1);
// Counts change all the time; a watch of everything need not hear of each.
constexpr absl::Duration kPublishCounts = absl::Seconds(5);

}  // namespace

absl::Status LogSinksController::Reconcile() {
  std::map<std::string, const config::v1::LogSinkConfig*> wanted;
  if (node_->config() != nullptr) {
    for (const auto& sink : node_->config()->logging().sinks()) wanted[sink.name()] = &sink;
  }
  for (auto it = sinks_.begin(); it != sinks_.end();) {
    auto found = wanted.find(it->first);
    bool same = found != wanted.end() &&
                google::protobuf::util::MessageDifferencer::Equals(*found->second, it->second->config());
    it = same ? std::next(it) : sinks_.erase(it);
  }
  if (!wanted.empty()) RETURN_IF_ERROR(MakeDirectories(options_.folder, 0700));
  for (const auto& [name, config] : wanted) {
    if (sinks_.count(name) == 0) sinks_[name] = std::make_unique<LogSink>(HandsFor(name), *config);
  }
  Publish();
  Look();
  return absl::OkStatus();
}

LogSink::Hands LogSinksController::HandsFor(const std::string& name) {
  return {
      .loop = node_->loop(),
      .sources = [this] { return Sources(); },
      .open = [this](const std::string& source,
                     const std::string& cursor) -> absl::StatusOr<std::unique_ptr<LogSource>> {
        if (source == "kernel") return OpenKernelLog(options_.boot_id, {.cursor = cursor});
        return logs_.Open(source, {.cursor = cursor});
      },
      .host =
          [this] {
            const auto* hostname = node_->store().Find<resource::v1::Hostname>("hostname");
            return hostname == nullptr ? std::string() : hostname->hostname();
          },
      .changed =
          [this](bool now) {
            if (now && publish_ != 0) node_->loop().Cancel(std::exchange(publish_, 0));
            if (publish_ != 0) return;
            publish_ = node_->loop().After(now ? absl::ZeroDuration() : kPublishCounts, [this, alive = alive_] {
              if (!*alive) return;
              publish_ = 0;
              Publish();
            });
          },
      .tell =
          [this, name](const std::string& message, bool bad) {
            node_->Emit("logsink", name, message, bad ? machine::v1::SEVERITY_WARNING : machine::v1::SEVERITY_INFO);
          },
      .boot_id = options_.boot_id,
      .program = options_.program,
      .folder = options_.folder,
  };
}

std::vector<std::string> LogSinksController::Sources() const {
  std::vector<std::string> all = {"kernel"};
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(options_.logs.c_str()), ::closedir);
  while (dirent* entry = entries == nullptr ? nullptr : ::readdir(entries.get())) {
    if (entry->d_name[0] != '.') all.push_back(entry->d_name);
  }
  std::sort(all.begin(), all.end());
  return all;
}

void LogSinksController::Look() {
  if (sinks_.empty() || std::exchange(looking_, true)) return;
  node_->loop().After(kLook, [this, alive = alive_] {
    if (!*alive) return;
    looking_ = false;
    for (auto& [name, sink] : sinks_) sink->Poke();
    Look();
  });
}

void LogSinksController::Publish() {
  std::map<std::string, resource::v1::LogSink> all;
  for (const auto& [name, sink] : sinks_) all[name] = sink->status();
  if (absl::Status status = node_->store().Replace(name(), all); !status.ok()) Log("error: ", status.message());
}

}  // namespace stele::machined
