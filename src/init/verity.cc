#include "init/verity.h"

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/status.h"
#include "base/unique_fd.h"
#include "init/log.h"

namespace stele::init {
namespace {

constexpr char kControl[] = "/dev/mapper/control";
constexpr char kName[] = "stele-root";
constexpr uint64_t kBlock = 4096;
constexpr uint64_t kSectorsPerBlock = kBlock / 512;
// A disk that fails is no reason to go on with half a root either.
constexpr const char* kOptions[] = {"2 panic_on_corruption panic_on_error", "1 panic_on_corruption"};

// One ioctl's header with room for a table of one target.
struct Request {
  dm_ioctl head = {};
  dm_target_spec target = {};
  char parameters[1024] = {};

  Request() {
    head.version[0] = DM_VERSION_MAJOR;
    head.data_size = sizeof(Request);
    head.data_start = sizeof(dm_ioctl);
    snprintf(head.name, sizeof head.name, "%s", kName);
  }
};
static_assert(offsetof(Request, target) == sizeof(dm_ioctl), "the kernel looks for the target right behind");

class VerityDevice {
 public:
  static absl::StatusOr<VerityDevice> Create() {
    VerityDevice device;
    device.control_ = UniqueFd(::open(kControl, O_RDWR | O_CLOEXEC));
    if (!device.control_.ok()) return ErrnoStatus("open ", kControl);
    Request request;
    if (::ioctl(device.control_.get(), DM_DEV_CREATE, &request) != 0) return ErrnoStatus("make the verity device");
    device.made_ = true;
    device.number_ = request.head.dev;
    return device;
  }
  VerityDevice(VerityDevice&& other) noexcept
      : control_(std::move(other.control_)), number_(other.number_), made_(std::exchange(other.made_, false)) {}
  VerityDevice& operator=(VerityDevice&&) = delete;
  ~VerityDevice() {
    if (!made_) return;
    Request request;
    if (::ioctl(control_.get(), DM_DEV_REMOVE, &request) != 0)
      Log(Level::kWarning, "remove the verity device: errno %d", errno);
  }
  void Keep() { made_ = false; }

  // Loads a table and makes it the one in use.
  absl::Status SetTable(uint64_t blocks, const std::string& line) {
    Request request;
    request.head.flags = DM_READONLY_FLAG;
    request.head.target_count = 1;
    request.target.length = blocks * kSectorsPerBlock;
    request.target.next = 0;
    snprintf(request.target.target_type, sizeof request.target.target_type, "verity");
    if (line.size() >= sizeof request.parameters) return absl::InvalidArgumentError("the verity table is too long");
    memcpy(request.parameters, line.c_str(), line.size() + 1);
    if (::ioctl(control_.get(), DM_TABLE_LOAD, &request) != 0) return ErrnoStatus("load the verity table");
    Request resume;  // also: suspend the old table, swap, and go on; nothing is lost in between
    if (::ioctl(control_.get(), DM_DEV_SUSPEND, &resume) != 0) return ErrnoStatus("use the verity table");
    return absl::OkStatus();
  }

  // The device's node, made if devtmpfs did not.
  absl::StatusOr<std::string> Node() const {
    auto device = static_cast<dev_t>(number_);
    std::string path = absl::StrCat("/dev/dm-", minor(device));
    if (::mknod(path.c_str(), S_IFBLK | 0600, makedev(major(device), minor(device))) != 0 && errno != EEXIST) {
      return ErrnoStatus("make ", path);
    }
    return path;
  }

 private:
  VerityDevice() = default;
  UniqueFd control_;
  uint64_t number_ = 0;
  bool made_ = false;
};

absl::Status ReadBlock(int fd, uint64_t block) {
  alignas(kBlock) char buffer[kBlock];
  ssize_t got = ::pread(fd, buffer, sizeof buffer, static_cast<off_t>(block * kBlock));
  if (got == static_cast<ssize_t>(sizeof buffer)) return absl::OkStatus();
  if (got < 0 && errno != EIO && errno != EILSEQ) return ErrnoStatus("read block ", block);
  return absl::DataLossError(absl::StrCat("block ", block, " does not fit the hash"));
}

// Whether data, tree and hash belong together, as far as two blocks tell. Past the page cache, which
// would answer for the table that follows.
absl::Status TryOut(const std::string& node, uint64_t blocks) {
  UniqueFd fd(::open(node.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", node);
  RETURN_IF_ERROR(ReadBlock(fd.get(), 0));
  return ReadBlock(fd.get(), blocks - 1);
}

}  // namespace

std::string VerityTable(const RootVerity& root, absl::string_view device, absl::string_view options) {
  return absl::StrCat("1 ", device, " ", device, " ", kBlock, " ", kBlock, " ", root.blocks, " ", root.blocks,
                      " sha256 ", root.hash, " ", root.salt, options.empty() ? "" : " ", options);
}

absl::StatusOr<std::string> OpenVerity(const RootVerity& root, const std::string& device) {
  ASSIGN_OR_RETURN(VerityDevice verity, VerityDevice::Create());
  // First without a panic: what does not fit is another version's slot.
  RETURN_IF_ERROR(verity.SetTable(root.blocks, VerityTable(root, device, "")));
  ASSIGN_OR_RETURN(std::string node, verity.Node());
  RETURN_IF_ERROR(TryOut(node, root.blocks));
  absl::Status status;
  for (const char* options : kOptions) {  // the second of before Linux 6.13
    status = verity.SetTable(root.blocks, VerityTable(root, device, options));
    if (status.ok()) break;
  }
  RETURN_IF_ERROR(Annotate(status, "make corruption a panic"));
  verity.Keep();
  return node;
}

}  // namespace stele::init
