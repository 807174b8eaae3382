#include "machined/cri_snapshot.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace stele::machined {
namespace {

constexpr size_t kShortContainer = 13;
constexpr size_t kShortImage = 12;

std::string PodName(const ::runtime::v1::PodSandboxMetadata& metadata) {
  return absl::StrCat(metadata.namespace_(), "/", metadata.name());
}

void SetTime(int64_t nanoseconds, google::protobuf::Timestamp* time) {
  time->set_seconds(nanoseconds / 1'000'000'000);
  time->set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
}

std::string StateName(::runtime::v1::ContainerState state) {
  switch (state) {
    case ::runtime::v1::CONTAINER_CREATED:
      return "Created";
    case ::runtime::v1::CONTAINER_RUNNING:
      return "Running";
    case ::runtime::v1::CONTAINER_EXITED:
      return "Exited";
    default:
      return "Unknown";
  }
}

std::string ShortImageId(absl::string_view id) {
  absl::ConsumePrefix(&id, "sha256:");
  return std::string(id.substr(0, kShortImage));
}

using Sandbox = ::runtime::v1::PodSandbox;
using Container = ::runtime::v1::Container;

// The newest sandbox of each pod.
std::map<std::string, const Sandbox*> Pods(const std::vector<Sandbox>& sandboxes) {
  std::map<std::string, const Sandbox*> pods;
  for (const Sandbox& sandbox : sandboxes) {
    const Sandbox*& chosen = pods[PodName(sandbox.metadata())];
    if (chosen == nullptr || sandbox.created_at() > chosen->created_at()) chosen = &sandbox;
  }
  return pods;
}

// The newest run of each container of a sandbox, by name.
std::map<std::string, const Container*> Runs(const std::vector<Container>& containers, const std::string& sandbox) {
  std::map<std::string, const Container*> runs;
  for (const Container& container : containers) {
    if (container.pod_sandbox_id() != sandbox) continue;
    const Container*& chosen = runs[container.metadata().name()];
    if (chosen == nullptr || container.created_at() > chosen->created_at()) chosen = &container;
  }
  return runs;
}

resource::v1::Pod PodOf(const Sandbox& sandbox, const CriAnswers& answers) {
  resource::v1::Pod pod;
  std::map<std::string, const Container*> runs = Runs(answers.containers, sandbox.id());
  auto running = std::count_if(runs.begin(), runs.end(),
                               [](const auto& run) { return run.second->state() == ::runtime::v1::CONTAINER_RUNNING; });
  bool ready = sandbox.state() == ::runtime::v1::SANDBOX_READY;
  pod.set_state(!ready ? "NotReady" : running > 0 ? "Running" : "Waiting");
  pod.set_ready(absl::StrCat(running, "/", runs.size()));
  auto details = answers.sandbox_details.find(sandbox.id());
  if (details != answers.sandbox_details.end()) pod.set_address(details->second.address);
  SetTime(sandbox.created_at(), pod.mutable_created());
  pod.set_sandbox_id(sandbox.id());
  pod.set_uid(sandbox.metadata().uid());
  *pod.mutable_labels() = sandbox.labels();
  // The kubelet's own word of where it has a pod from.
  auto source = sandbox.annotations().find("kubernetes.io/config.source");
  pod.set_from_file(source != sandbox.annotations().end() && source->second != "api");
  return pod;
}

resource::v1::Container ContainerOf(const Container& container, const Sandbox* sandbox, const CriAnswers& answers) {
  resource::v1::Container resource;
  if (sandbox != nullptr) resource.set_pod(PodName(sandbox->metadata()));
  if (sandbox != nullptr) *resource.mutable_labels() = sandbox->labels();
  for (const auto& [key, value] : container.labels()) (*resource.mutable_labels())[key] = value;
  resource.set_name(container.metadata().name());
  resource.set_state(StateName(container.state()));
  resource.set_restarts(container.metadata().attempt());
  resource.set_image(container.image().image());
  SetTime(container.created_at(), resource.mutable_created());
  resource.set_container_id(container.id());
  auto details = answers.container_details.find(container.id());
  if (details != answers.container_details.end()) {
    if (!details->second.image.empty()) resource.set_image(details->second.image);
    resource.set_log_path(details->second.log_path);
    if (container.state() == ::runtime::v1::CONTAINER_RUNNING) resource.set_pid(details->second.pid);
  }
  return resource;
}

resource::v1::Image ImageOf(const ::runtime::v1::Image& image) {
  resource::v1::Image resource;
  *resource.mutable_names() = image.repo_tags_size() > 0 ? image.repo_tags() : image.repo_digests();
  resource.set_size_bytes(image.size());
  resource.set_pinned(image.pinned());
  resource.set_image_id(image.id());
  return resource;
}

}  // namespace

bool CriSnapshot::HasImage(absl::string_view name) const {
  return std::any_of(images.begin(), images.end(), [&](const auto& image) {
    const auto& names = image.second.names();
    return std::find(names.begin(), names.end(), name) != names.end();
  });
}

int32_t PidOfInfo(absl::string_view info) {
  constexpr absl::string_view kKey = "\"pid\":";
  size_t found = info.find(kKey);
  if (found == absl::string_view::npos) return 0;
  absl::string_view digits = info.substr(found + kKey.size());
  int32_t pid = 0;
  return absl::SimpleAtoi(digits.substr(0, digits.find_first_not_of("0123456789")), &pid) ? pid : 0;
}

CriSnapshot SnapshotOf(const CriAnswers& answers) {
  CriSnapshot snapshot;
  std::map<std::string, const Sandbox*> sandboxes;  // by id
  for (const Sandbox& sandbox : answers.sandboxes) sandboxes[sandbox.id()] = &sandbox;
  for (const auto& [name, sandbox] : Pods(answers.sandboxes)) snapshot.pods[name] = PodOf(*sandbox, answers);
  for (const Container& container : answers.containers) {
    auto sandbox = sandboxes.find(container.pod_sandbox_id());
    snapshot.containers[container.id().substr(0, kShortContainer)] =
        ContainerOf(container, sandbox == sandboxes.end() ? nullptr : sandbox->second, answers);
  }
  for (const ::runtime::v1::Image& image : answers.images) snapshot.images[ShortImageId(image.id())] = ImageOf(image);
  return snapshot;
}

}  // namespace stele::machined
