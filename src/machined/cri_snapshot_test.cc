#include "machined/cri_snapshot.h"

#include <gmock/gmock.h>

namespace stele::machined {
namespace {

namespace cri = ::runtime::v1;

cri::PodSandbox Sandbox(const std::string& id, const std::string& name, int64_t created, cri::PodSandboxState state) {
  cri::PodSandbox sandbox;
  sandbox.set_id(id);
  sandbox.mutable_metadata()->set_namespace_("default");
  sandbox.mutable_metadata()->set_name(name);
  sandbox.mutable_metadata()->set_uid("uid-" + name);
  sandbox.set_created_at(created);
  sandbox.set_state(state);
  return sandbox;
}

cri::Container Container(const std::string& id, const std::string& sandbox, const std::string& name, int attempt,
                         cri::ContainerState state) {
  cri::Container container;
  container.set_id(id);
  container.set_pod_sandbox_id(sandbox);
  container.mutable_metadata()->set_name(name);
  container.mutable_metadata()->set_attempt(attempt);
  container.set_created_at(1'000'000'000LL * (attempt + 1));
  container.set_state(state);
  return container;
}

TEST(CriSnapshot, TheNewestSandboxIsThePod) {
  CriAnswers answers;
  answers.sandboxes = {Sandbox("old", "web", 1, cri::SANDBOX_NOTREADY),
                       Sandbox("new", "web", 2'500'000'000, cri::SANDBOX_READY)};
  answers.containers = {Container("0123456789abcdef", "old", "main", 0, cri::CONTAINER_EXITED),
                        Container("1123456789abcdef", "new", "main", 0, cri::CONTAINER_EXITED),
                        Container("2123456789abcdef", "new", "main", 1, cri::CONTAINER_RUNNING),
                        Container("3123456789abcdef", "new", "side", 0, cri::CONTAINER_CREATED)};
  answers.sandbox_details["new"].address = "10.88.0.7";
  answers.container_details["2123456789abcdef"] = {"docker.io/library/web:1", "/var/log/pods/x/main/1.log", 4711};
  answers.container_details["1123456789abcdef"] = {"docker.io/library/web:1", "/var/log/pods/x/main/0.log", 4000};
  (*answers.sandboxes[1].mutable_annotations())["kubernetes.io/config.source"] = "file";
  (*answers.sandboxes[1].mutable_labels())["app"] = "web";
  (*answers.containers[2].mutable_labels())["io.kubernetes.container.name"] = "main";
  CriSnapshot snapshot = SnapshotOf(answers);
  ASSERT_EQ(snapshot.pods.size(), 1u);
  const resource::v1::Pod& pod = snapshot.pods["default/web"];
  EXPECT_EQ(pod.sandbox_id(), "new");
  EXPECT_EQ(pod.state(), "Running");
  EXPECT_EQ(pod.ready(), "1/2");
  EXPECT_TRUE(pod.from_file());
  EXPECT_EQ(pod.address(), "10.88.0.7");
  EXPECT_EQ(pod.created().seconds(), 2);
  EXPECT_EQ(pod.created().nanos(), 500'000'000);
  ASSERT_EQ(snapshot.containers.size(), 4u);
  const resource::v1::Container& running = snapshot.containers["2123456789abc"];
  EXPECT_EQ(running.pod(), "default/web");
  EXPECT_EQ(pod.labels().at("app"), "web");
  EXPECT_EQ(running.labels().at("app"), "web");
  EXPECT_EQ(running.labels().at("io.kubernetes.container.name"), "main");
  EXPECT_EQ(running.restarts(), 1u);
  EXPECT_EQ(running.pid(), 4711);
  EXPECT_EQ(running.log_path(), "/var/log/pods/x/main/1.log");
  EXPECT_EQ(snapshot.containers["1123456789abc"].pid(), 0);  // it has ended
}

TEST(CriSnapshot, StatesOfPods) {
  CriAnswers answers;
  answers.sandboxes = {Sandbox("a", "waiting", 1, cri::SANDBOX_READY), Sandbox("b", "down", 1, cri::SANDBOX_NOTREADY)};
  CriSnapshot snapshot = SnapshotOf(answers);
  EXPECT_EQ(snapshot.pods["default/waiting"].state(), "Waiting");
  EXPECT_EQ(snapshot.pods["default/down"].state(), "NotReady");
}

TEST(CriSnapshot, Images) {
  CriAnswers answers;
  cri::Image image;
  image.set_id("sha256:0123456789abcdef0123");
  image.add_repo_tags("stele.local/pause:1");
  image.set_size(700);
  image.set_pinned(true);
  answers.images = {image};
  CriSnapshot snapshot = SnapshotOf(answers);
  EXPECT_TRUE(snapshot.images["0123456789ab"].pinned());
  EXPECT_TRUE(snapshot.HasImage("stele.local/pause:1"));
  EXPECT_FALSE(snapshot.HasImage("stele.local/pause:2"));
}

TEST(CriSnapshot, PidOfInfo) {
  EXPECT_EQ(PidOfInfo(R"({"sandboxID":"x","pid":4711,"removing":false})"), 4711);
  EXPECT_EQ(PidOfInfo(R"({"pid":0})"), 0);
  EXPECT_EQ(PidOfInfo("{}"), 0);
  EXPECT_EQ(PidOfInfo(R"({"pid":99999999999999})"), 0);
}

}  // namespace
}  // namespace stele::machined
