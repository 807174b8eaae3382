#include "machined/field_selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stele/resource/v1/node.pb.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {
namespace {

using testing::HasSubstr;

resource::v1::Service Kubelet() {
  resource::v1::Service service;
  service.set_state(resource::v1::SERVICE_STATE_RUNNING);
  service.set_ready(true);
  service.set_pid(42);
  service.set_last_exit("exit 1");
  service.add_after("containerd");
  service.add_after("network");
  service.mutable_started()->set_seconds(1000);
  return service;
}

TEST(FieldSelector, Fits) {
  const std::pair<const char*, bool> cases[] = {
      {"", true},
      {"id=kubelet", true},
      {"id!=kubelet", false},
      {"id=kube*", true},
      {"id=*let", true},
      {"id=k*b*t", true},
      {"id=*x*", false},
      {"id=*", true},
      {"id=kubelet*kubelet", false},
      {"owner=services", true},
      {"owner=nobody", false},
      {"state=running", true},
      {"state=Running", true},
      {"state=SERVICE_STATE_RUNNING", true},
      {"state==running", true},
      {"state!=running", false},
      {"state=stopped", false},
      {"ready=true", true},
      {"ready=false", false},
      {"pid=42", true},
      {"pid!=0", true},
      {"pid=4*", true},
      {"last_exit=exit 1", true},
      {"lastExit=exit 1", true},
      {"after=network", true},
      {"after=nothing", false},
      {"after!=network", false},
      {"started.seconds=1000", true},
      {"state=running,pid=42", true},
      {"state=running,pid=43", false},
      {"message=", true},
      {"message!=", false},
  };
  for (const auto& [text, fits] : cases) {
    absl::StatusOr<FieldSelector> selector = FieldSelector::Parse(text, resource::v1::Service::descriptor());
    ASSERT_TRUE(selector.ok()) << text << ": " << selector.status();
    EXPECT_EQ(selector->Fits("kubelet", "services", Kubelet()), fits) << text;
  }
}

TEST(FieldSelector, WhatIsWrongIsTold) {
  const std::pair<const char*, const char*> cases[] = {
      {"state", "expected FIELD=VALUE"},
      {"=x", "expected FIELD=VALUE"},
      {"stat=running", "Service has no field stat, did you mean state?"},
      {"pid.x=1", "nothing below pid.x"},
      {"started=1", "started has fields of its own: name one of them, as in started.seconds=…"},
      {"started.second=1", "Timestamp has no field second, did you mean seconds?"},
      {".=1", "no field"},
      {"!=1", "no field"},
  };
  for (const auto& [text, expected] : cases) {
    absl::Status status = FieldSelector::Parse(text, resource::v1::Service::descriptor()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(expected)) << text;
  }
  EXPECT_FALSE(FieldSelector::Parse(std::string(5000, 'x'), resource::v1::Service::descriptor()).ok());
  std::string many;
  for (int i = 0; i < 17; ++i) many += "pid=1,";
  EXPECT_FALSE(FieldSelector::Parse(many, resource::v1::Service::descriptor()).ok());
}

}  // namespace
}  // namespace stele::machined
