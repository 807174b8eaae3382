#include "machined/config_plan.h"

#include <functional>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace stele::machined {
namespace {

using ::testing::ElementsAre;

TEST(PlanChange, TellsWhatWillBeDone) {
  config::v1::MachineConfig before, after;
  before.mutable_network()->set_hostname("a");
  before.mutable_api()->set_certificate("C");
  before.mutable_api()->set_client_ca("A");
  auto* pod = before.mutable_kubelet()->add_static_pods();
  pod->set_name("demo");
  pod->set_manifest("1");
  auto plan = [&](const config::v1::MachineConfig* from) {
    return PlanLines(PlanChange(from, after, {.hostname = "a", .kubelet_minor = 32}));
  };
  after = before;
  EXPECT_THAT(plan(&before), ElementsAre("nothing changes"));
  EXPECT_THAT(plan(nullptr), ElementsAre("serve the API", "set the host name a", "add static pod demo",
                                         "start containerd", "start kubelet", "start workload"));
  after.mutable_kubelet()->mutable_static_pods(0)->set_manifest("2");
  EXPECT_THAT(plan(&before), ElementsAre("change static pod demo"));
  after.mutable_api()->set_key("new");
  after.mutable_api()->set_client_ca("B");
  after.mutable_time()->add_servers("t");
  after.mutable_network()->set_hostname("b");
  after.mutable_network()->add_nameservers("192.0.2.1");
  after.mutable_network()->add_interfaces()->set_name("eth0");
  after.mutable_storage()->set_disk("/dev/vdb");
  EXPECT_THAT(
      plan(&before),
      ElementsAre("at the next boot: use the disk /dev/vdb", "serve the API with the new certificate",
                  "take other client CAs for the API: the connections of one that is gone end", "set the host name b",
                  "configure link eth0", "write /etc/resolv.conf", "set the clock by other time servers",
                  "change static pod demo", "start chronyd", "restart kubelet"));
}

TEST(PlanChange, TellsWhatEachChangeNeeds) {
  config::v1::MachineConfig before, after;
  before.mutable_api()->set_certificate("C");
  after = before;
  after.mutable_storage()->set_disk("/dev/vdb");
  after.mutable_install()->set_wipe(true);
  after.mutable_upgrade()->set_manual(true);
  after.mutable_kubelet()->mutable_bootstrap()->set_server("https://a");
  after.mutable_kubelet()->set_cluster_domain("d");
  std::vector<std::string> needs;
  for (const PlannedChange& change : PlanChange(&before, after, {.hostname = "a", .kubelet_minor = 32})) {
    const char* need = change.need == ChangeNeed::kReboot    ? "reboot"
                       : change.need == ChangeNeed::kService ? "service"
                                                             : "nothing";
    needs.push_back(absl::StrCat(need, ": ", change.action, change.service.empty() ? "" : " = ", change.service));
  }
  EXPECT_THAT(
      needs,
      ElementsAre("reboot: at the next boot: use the disk /dev/vdb",
                  "reboot: when booted from a medium: install onto the disk that install.disk names",
                  "nothing: give the kubelet its way into the cluster", "nothing: change the kubelet's settings",
                  "nothing: judge upgrades by other rules, one under way too", "service: restart kubelet = kubelet"));
}

// Whatever key is added to the schema needs a row: what a change does is told before it is done.
TEST(PlanChange, HasARowForEveryKey) {
  std::vector<std::string> planned = PlannedKeys();
  std::vector<std::string> missing;
  std::function<void(const google::protobuf::Descriptor*, const std::string&)> walk =
      [&](const google::protobuf::Descriptor* type, const std::string& path) {
        for (int i = 0; i < type->field_count(); ++i) {
          const auto* field = type->field(i);
          std::string key = path.empty() ? field->json_name() : absl::StrCat(path, ".", field->json_name());
          bool told = std::find(planned.begin(), planned.end(), key) != planned.end();
          if (told) continue;
          bool inner = field->message_type() != nullptr && !field->is_repeated();
          if (inner) {
            walk(field->message_type(), key);
          } else {
            missing.push_back(key);
          }
        }
      };
  walk(config::v1::MachineConfig::descriptor(), "");
  EXPECT_THAT(missing, ElementsAre());
}

}  // namespace
}  // namespace stele::machined
