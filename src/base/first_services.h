// The two services that every node has from its first second: machined, and apid in front of it. init starts both at
// once and without being told, so that apid is ready by the time machined has found its keys. machined knows apid by
// the same spec, and so finds nothing to change.
#pragma once

#include "base/service_spec.h"

namespace stele {

inline constexpr uint32_t kApidUser = 900;              // image/etc/passwd
inline constexpr char kApidKeys[] = "/run/stele/apid";  // the folder that src/apid/keys.h tells of

// `real_boot`: on a machine and not in a namespace.
ServiceSpec MachinedSpec(bool real_boot);
ServiceSpec ApidSpec();

}  // namespace stele
