#include "machined/image_in_use.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace stele::machined {
namespace {

using resource::v1::Image;

constexpr size_t kShortestId = 8;
constexpr size_t kNamed = 3;

bool Has(const Image& image, absl::string_view name) {
  return std::find(image.names().begin(), image.names().end(), name) != image.names().end();
}

std::vector<std::string> UsersOf(const Store& store, const Image& image) {
  std::vector<std::string> users;
  for (const auto& [id, container] : store.All<resource::v1::Container>()) {
    bool ended = container.state() == "Exited";
    if (!ended && (Has(image, container.image()) || container.image() == image.image_id()))
      users.push_back(absl::StrCat(container.pod(), "/", container.name()));
  }
  return users;
}

}  // namespace

absl::StatusOr<Image> ImageToRemove(const Store& store, absl::string_view wanted, bool force) {
  absl::string_view id = absl::StripPrefix(wanted, "sha256:");
  std::vector<Image> found;
  for (const auto& [key, image] : store.All<Image>()) {
    bool by_id = id.size() >= kShortestId && absl::StartsWith(absl::StripPrefix(image.image_id(), "sha256:"), id);
    if (by_id || Has(image, wanted)) found.push_back(image);
  }
  if (found.empty()) return absl::NotFoundError(absl::StrCat("no image ", wanted, ": `osctl get images` lists them"));
  if (found.size() > 1)
    return absl::InvalidArgumentError(
        absl::StrCat(wanted, " begins the ids of ", found.size(), " images: say more of it"));
  const Image& image = found.front();
  if (image.pinned())
    return absl::FailedPreconditionError(absl::StrCat(wanted, " is pinned: every pod's sandbox is made of it"));
  std::vector<std::string> users = UsersOf(store, image);
  if (users.empty() || force) return image;
  size_t more = users.size() - std::min(users.size(), kNamed);
  users.resize(users.size() - more);
  return absl::FailedPreconditionError(absl::StrCat(wanted, " is in use by ", absl::StrJoin(users, ", "),
                                                    more > 0 ? absl::StrCat(" and ", more, " more") : "",
                                                    ": end them first, or say --force"));
}

}  // namespace stele::machined
