#include "base/build_version.h"

namespace stele {

const char kBuildVersion[] = STELE_BUILD_VERSION;
const char kBuildCommit[] = STELE_BUILD_COMMIT;

}  // namespace stele
