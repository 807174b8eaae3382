#include "machined/storage_mount.h"

#include <libmount/libmount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "base/file.h"

namespace stele::machined {
namespace {

// Who wants what: containerd, the kubelet, CNI plugins; the rest is the usual frame.
struct Folder {
  const char* path;
  mode_t mode;
};
constexpr Folder kFolders[] = {
    {"/var/cache", 0755},
    {"/var/lib", 0755},
    {"/var/lib/containerd", 0711},
    {"/var/lib/kubelet", 0750},
    {"/var/lib/cni", 0755},
    {"/var/lib/stele", 0755},
    {"/var/lib/stele/cni", 0755},
    {"/var/lib/stele/cni-bin", 0755},
    {"/var/lib/stele/cni-work", 0700},
    {"/var/log", 0755},
    {"/var/log/pods", 0755},
    {"/var/log/containers", 0755},
    {"/var/tmp", 01777},
};

absl::Status MakeFolder(const std::string& path, mode_t mode) {
  RETURN_IF_ERROR(MakeDirectories(path));
  if (::chmod(path.c_str(), mode) != 0) return ErrnoStatus("set the mode of ", path);
  return absl::OkStatus();
}

// Network namespaces and sockets of old programs must not land on the disk.
absl::Status LinkRun(const std::string& root) {
  std::string link = root + "/var/run";
  if (::symlink("/run", link.c_str()) != 0 && errno != EEXIST) return ErrnoStatus("link ", link);
  return absl::OkStatus();
}

absl::Status MountOnce(const std::string& source, const std::string& target, const std::string& fstype,
                       const std::string& options) {
  ASSIGN_OR_RETURN(bool mounted, IsMounted(target));
  return mounted ? absl::OkStatus() : MountFilesystem(source, target, fstype, options);
}

}  // namespace

absl::StatusOr<bool> IsMounted(const std::string& target) {
  std::unique_ptr<libmnt_table, void (*)(libmnt_table*)> table(mnt_new_table_from_file("/proc/self/mountinfo"),
                                                               mnt_unref_table);
  if (table == nullptr) return ErrnoStatus("read /proc/self/mountinfo");
  return mnt_table_find_target(table.get(), target.c_str(), MNT_ITER_BACKWARD) != nullptr;
}

absl::Status MountFilesystem(const std::string& source, const std::string& target, const std::string& fstype,
                             const std::string& options) {
  // A folder below a read-only root must be there already; MakeDirectories says what is missing.
  RETURN_IF_ERROR(Annotate(MakeDirectories(target), absl::StrCat("mount ", source)));
  std::unique_ptr<libmnt_context, void (*)(libmnt_context*)> context(mnt_new_context(), mnt_free_context);
  if (context == nullptr) return absl::ResourceExhaustedError("no memory to mount");
  mnt_context_disable_helpers(context.get(), 1);
  mnt_context_disable_mtab(context.get(), 1);
  mnt_context_disable_canonicalize(context.get(), 1);
  mnt_context_set_source(context.get(), source.c_str());
  mnt_context_set_target(context.get(), target.c_str());
  if (!fstype.empty()) mnt_context_set_fstype(context.get(), fstype.c_str());
  mnt_context_set_options(context.get(), options.c_str());
  int result = mnt_context_mount(context.get());
  if (result == 0) return absl::OkStatus();
  int error = mnt_context_syscall_called(context.get()) ? mnt_context_get_syscall_errno(context.get()) : -result;
  return StatusFromErrno(error > 0 ? error : EINVAL, absl::StrCat("mount ", source, " on ", target));
}

absl::Status SetUpVar(const std::string& root) {
  for (const Folder& folder : kFolders) RETURN_IF_ERROR(MakeFolder(root + folder.path, folder.mode));
  RETURN_IF_ERROR(LinkRun(root));
  RETURN_IF_ERROR(MakeDirectories(root + "/var/lib/stele/cni/net.d"));
  RETURN_IF_ERROR(MountOnce(root + "/var/lib/stele/cni", root + "/etc/cni", "", "bind"));
  std::string state = root + "/var/lib/stele/";
  return MountOnce(
      "cni-bin", root + "/opt/cni/bin", "overlay",
      absl::StrCat("lowerdir=", root, "/opt/cni/bin,upperdir=", state, "cni-bin,workdir=", state, "cni-work"));
}

}  // namespace stele::machined
