// The `kernel` resource: what runs, since when, with what.
#include <sys/utsname.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/kernel.pb.h"

namespace stele::machined {
namespace {

// "none [integrity] confidentiality" → integrity.
std::string Chosen(absl::string_view text) {
  size_t open = text.find('[');
  size_t close = text.find(']');
  if (open == absl::string_view::npos || close == absl::string_view::npos || close < open) return "";
  return std::string(text.substr(open + 1, close - open - 1));
}

}  // namespace

absl::StatusOr<Provided> ReadKernel() {
  Provided all;
  auto* kernel = Provide<resource::v1::Kernel>(all, "running");
  struct utsname name;
  if (::uname(&name) != 0) return ErrnoStatus("uname");
  kernel->set_release(Printable(name.release));
  kernel->set_version(Printable(name.version));
  kernel->set_architecture(Printable(name.machine));
  double seconds = 0;
  std::string uptime = BytesOf("/proc/uptime");
  if (absl::SimpleAtod(uptime.substr(0, uptime.find(' ')), &seconds))
    SetDuration(absl::Seconds(seconds), kernel->mutable_uptime());
  std::vector<std::string> load = absl::StrSplit(TextOf("/proc/loadavg"), ' ');
  if (load.size() >= 3) kernel->set_load(absl::StrCat(load[0], " ", load[1], " ", load[2]));
  kernel->set_lockdown(Chosen(TextOf("/sys/kernel/security/lockdown")));
  kernel->set_taint(NumberOf("/proc/sys/kernel/tainted"));
  kernel->set_command_line(TextOf("/proc/cmdline"));
  kernel->set_boot_id(TextOf("/proc/sys/kernel/random/boot_id"));
  return all;
}

}  // namespace stele::machined
