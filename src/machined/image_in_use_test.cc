#include "machined/image_in_use.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace stele::machined {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

class ImageToRemoveTest : public testing::Test {
 protected:
  ImageToRemoveTest() {
    Put("1", "sha256:aabbccdd11", {"docker.io/library/web:1", "docker.io/library/web:latest"});
    Put("2", "sha256:aabbccdd22", {"docker.io/library/db:2"});
    Put("3", "sha256:ffffffff33", {"pause:3"}, /*pinned=*/true);
    Use("a", "default/web/web", "Running", "docker.io/library/web:1");
    Use("b", "default/old/db", "Exited", "docker.io/library/db:2");
  }
  void Put(const std::string& key, const std::string& id, const std::vector<std::string>& names, bool pinned = false) {
    resource::v1::Image image;
    image.set_image_id(id);
    for (const std::string& name : names) image.add_names(name);
    image.set_pinned(pinned);
    EXPECT_TRUE(store_.Put("test", key, image).ok());
  }
  void Use(const std::string& key, const std::string& name, const std::string& state, const std::string& image) {
    resource::v1::Container container;
    size_t slash = name.rfind('/');
    container.set_pod(name.substr(0, slash));
    container.set_name(name.substr(slash + 1));
    container.set_state(state);
    container.set_image(image);
    EXPECT_TRUE(store_.Put("test", key, container).ok());
  }
  std::string Chosen(absl::string_view wanted, bool force = false) {
    absl::StatusOr<resource::v1::Image> image = ImageToRemove(store_, wanted, force);
    return image.ok() ? image->image_id() : std::string(image.status().message());
  }
  StatusCode CodeOf(absl::string_view wanted) { return ImageToRemove(store_, wanted, false).status().code(); }

  Store store_;
};

TEST_F(ImageToRemoveTest, ByNameAndById) {
  EXPECT_EQ(Chosen("docker.io/library/db:2"), "sha256:aabbccdd22") << "its container has ended";
  EXPECT_EQ(Chosen("aabbccdd2"), "sha256:aabbccdd22");
  EXPECT_EQ(Chosen("sha256:aabbccdd22"), "sha256:aabbccdd22");
}

TEST_F(ImageToRemoveTest, WhatIsNoneOrSeveral) {
  for (const char* wanted : {"", "docker.io/library/db", "db:2", "aabb", "sha256:", "00000000"})
    EXPECT_EQ(CodeOf(wanted), StatusCode::kNotFound) << wanted;
  EXPECT_EQ(CodeOf("aabbccdd"), StatusCode::kInvalidArgument);
}

TEST_F(ImageToRemoveTest, WhatIsNeededStays) {
  EXPECT_THAT(Chosen("docker.io/library/web:latest"), HasSubstr("in use by default/web/web: "));
  EXPECT_EQ(CodeOf("docker.io/library/web:latest"), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Chosen("docker.io/library/web:latest", /*force=*/true), "sha256:aabbccdd11");
  EXPECT_THAT(Chosen("pause:3", /*force=*/true), HasSubstr("is pinned"));
  for (int i = 0; i < 4; ++i)
    Use(absl::StrCat("more", i), absl::StrCat("default/p", i, "/db"), "Running", "docker.io/library/db:2");
  EXPECT_THAT(Chosen("docker.io/library/db:2"), HasSubstr("default/p2/db and 1 more"));
}

}  // namespace
}  // namespace stele::machined
