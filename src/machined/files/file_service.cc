// FileService: the node's files, as machined sees them: the image, /etc and /run of the node, the data partition; not
// what pods have mounted, which is in a mount namespace of their own.
//
// Each call checks its path on its own thread and then streams from there. Nothing here touches the owner thread.
#include "machined/files/file_service.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include "base/narrow_roles.h"
#include "machined/api.h"
#include "machined/caller.h"
#include "machined/files/archive.h"
#include "machined/files/disk_usage.h"
#include "machined/files/file_call.h"
#include "machined/files/file_read.h"
#include "machined/files/file_tree.h"
#include "machined/files/file_walk.h"
#include "machined/log.h"
#include "stele/machine/v1/file_service.grpc.pb.h"

namespace stele::machined {
namespace {

using machine::v1::ArchiveRequest;
using machine::v1::ArchiveResponse;
using machine::v1::DiskUsageRequest;
using machine::v1::DiskUsageResponse;
using machine::v1::ListFilesRequest;
using machine::v1::ListFilesResponse;
using machine::v1::ReadFileRequest;
using machine::v1::ReadFileResponse;

constexpr uint64_t kListedUnlessTold = 10'000;
constexpr uint64_t kMostListed = 100'000;
// Entries of a message: enough that messages cost little, few enough that the first is there soon.
constexpr int kBatch = 256;
constexpr absl::Duration kFollowPause = absl::Milliseconds(200);

struct Caller {
  Need role = Need::kReader;
  std::string name;
};

// Without metadata it is root on the node itself (api_server.h). What apid tells a narrow role's resources of is one
// that it knows: there the files are a reader's, unless the role is one of every node and has others.
absl::StatusOr<Caller> CallerFrom(const grpc::CallbackServerContext& context) {
  Caller caller = {Need::kAdmin, CallerOf(context)};
  std::string role = CallerMetadata(context, "stele-role");
  if (CallerMetadata(context, "stele-subject").empty() || ParseRole(role, caller.role)) return caller;
  if (context.client_metadata().count("stele-resources") > 0) {
    const NarrowRole* narrow = FindNarrowRole(role);
    if (narrow == nullptr || !ParseRole(narrow->files_as, caller.role)) caller.role = Need::kReader;
    return caller;
  }
  return absl::PermissionDeniedError(absl::StrCat("files are for roles that machined knows, and '", role, "' is none"));
}

// For the log: whoever makes files names them, and shall not write lines of ours.
std::string OneLine(const std::string& path) {
  std::string line = ShownPath(path);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return line;
}

machine::v1::FileKind KindOf(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return machine::v1::FILE_KIND_FILE;
    case S_IFDIR:
      return machine::v1::FILE_KIND_DIRECTORY;
    case S_IFLNK:
      return machine::v1::FILE_KIND_LINK;
    case S_IFIFO:
      return machine::v1::FILE_KIND_FIFO;
    case S_IFSOCK:
      return machine::v1::FILE_KIND_SOCKET;
    case S_IFCHR:
      return machine::v1::FILE_KIND_CHARACTER_DEVICE;
    case S_IFBLK:
      return machine::v1::FILE_KIND_BLOCK_DEVICE;
    default:
      return machine::v1::FILE_KIND_UNSPECIFIED;
  }
}

void Describe(const std::string& path, const struct stat& info, Need need, machine::v1::FileEntry* entry) {
  entry->set_path(ShownPath(path));
  entry->set_kind(KindOf(info.st_mode));
  entry->set_size_bytes(static_cast<uint64_t>(info.st_size));
  entry->set_disk_bytes(static_cast<uint64_t>(info.st_blocks) * 512);
  entry->set_mode(info.st_mode & 07777);
  entry->set_uid(info.st_uid);
  entry->set_gid(info.st_gid);
  entry->mutable_modified()->set_seconds(info.st_mtim.tv_sec);
  entry->mutable_modified()->set_nanos(static_cast<int32_t>(info.st_mtim.tv_nsec));
  entry->set_access(static_cast<machine::v1::Access>(need));
  entry->set_links(static_cast<uint32_t>(info.st_nlink));
}
static_assert(static_cast<int>(Need::kReader) == machine::v1::ACCESS_READER &&
              static_cast<int>(Need::kNobody) == machine::v1::ACCESS_NOBODY);

// Sends entries in batches, and in the end what is missing.
class Lister : public WalkVisitor {
 public:
  Lister(FileCall& call, Need role) : call_(call), role_(role) {}

  absl::StatusOr<Descend> Visit(const WalkEntry& entry) override {
    RETURN_IF_ERROR(call_.KeepGoing());
    machine::v1::FileEntry* out = response_.add_entries();
    Describe(entry.path, entry.info, entry.need, out);
    if (S_ISLNK(entry.info.st_mode)) {
      UniqueFd link = OpenBelow(entry.folder, entry.name, O_PATH, Crossing::kRefuse);
      if (absl::StatusOr<std::string> target = ReadLink(link.get()); target.ok())
        out->set_link_target(ShownPath(*target));
    }
    RETURN_IF_ERROR(SendIfFull());
    if (!entry.entered || entry.need <= role_) return Descend::kYes;
    omissions_.Add(
        entry.need == Need::kNobody ? machine::v1::OMISSION_REASON_NOBODY : machine::v1::OMISSION_REASON_ROLE,
        entry.path);
    return Descend::kNo;
  }
  absl::Status Leave(const std::string&) override { return absl::OkStatus(); }

  absl::Status End() {
    omissions_.AppendTo(&response_);
    return response_.entries_size() == 0 && response_.omissions_size() == 0 ? absl::OkStatus() : call_.Send(response_);
  }
  Omissions& omissions() { return omissions_; }

 private:
  absl::Status SendIfFull() {
    if (response_.entries_size() < kBatch) return absl::OkStatus();
    RETURN_IF_ERROR(call_.Send(response_));
    response_.Clear();
    return absl::OkStatus();
  }

  FileCall& call_;
  const Need role_;
  ListFilesResponse response_;
  Omissions omissions_;
};

// All four by their bytes (file_call.h).
using RawFileService = machine::v1::FileService::WithRawCallbackMethod_ListFiles<
    machine::v1::FileService::WithRawCallbackMethod_ReadFile<machine::v1::FileService::WithRawCallbackMethod_Archive<
        machine::v1::FileService::WithRawCallbackMethod_DiskUsage<machine::v1::FileService::Service>>>>;

class FileService final : public RawFileService {
 public:
  FileService(std::string top, absl::Span<const FileRule> rules, absl::Duration stall)
      : top_(std::move(top)), rules_(rules), stall_(stall) {}

  using Reactor = grpc::ServerWriteReactor<grpc::ByteBuffer>;
  Reactor* ListFiles(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override {
    return Begin<ListFilesRequest>(context, *request, "list", &FileService::List);
  }
  Reactor* ReadFile(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override {
    return Begin<ReadFileRequest>(context, *request, "read", &FileService::Read);
  }
  Reactor* Archive(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override {
    return Begin<ArchiveRequest>(context, *request, "archive", &FileService::MakeTar);
  }
  Reactor* DiskUsage(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override {
    return Begin<DiskUsageRequest>(context, *request, "disk usage", &FileService::Count);
  }

 private:
  // A call whose thread finds the file and goes on with `then`.
  template <typename Request>
  FileCall* Begin(grpc::CallbackServerContext* context, grpc::ByteBuffer bytes, const char* doing,
                  absl::Status (FileService::*then)(FileCall&, const Request&, const FoundFile&, Need)) {
    Request request;
    grpc::ProtoBufferReader reader(&bytes);
    bool parsed = request.ParseFromZeroCopyStream(&reader);
    absl::StatusOr<Caller> caller = CallerFrom(*context);
    return new FileCall(
        context, under_way_, stall_,
        [this, caller, doing, parsed, request = std::move(request), then](FileCall& call) -> absl::Status {
          RETURN_IF_ERROR(caller.status());
          if (!parsed) return absl::InvalidArgumentError("the request is none, or its path is no UTF-8");
          ASSIGN_OR_RETURN(FoundFile found, Find(request.path(), doing, *caller));
          return (this->*then)(call, request, found, caller->role);
        });
  }

  absl::StatusOr<FoundFile> Find(const std::string& path, absl::string_view doing, const Caller& caller) const {
    ASSIGN_OR_RETURN(FileTree tree, FileTree::Open(top_, rules_));
    ASSIGN_OR_RETURN(FoundFile found, tree.Find(path, caller.role));
    // apid's audit knows no paths: what not everybody may see, or very much of it, is told in the node's own log.
    bool noted = found.need() != Need::kReader || doing == "archive";
    if (noted) Log("files: ", doing, " ", OneLine(found.path), ", asked by ", caller.name);
    return found;
  }

  absl::Status List(FileCall& call, const ListFilesRequest& request, const FoundFile& found, Need role) {
    if (request.depth() > kMaxWalkDepth) return absl::InvalidArgumentError("a list goes 64 directories deep at most");
    if (request.max_entries() > kMostListed) return absl::InvalidArgumentError("a list has 100,000 entries at most");
    if (!S_ISDIR(found.info.st_mode)) {
      ListFilesResponse response;
      Describe(found.path, found.info, found.need(), response.add_entries());
      if (S_ISLNK(found.info.st_mode)) {
        ASSIGN_OR_RETURN(std::string target, ReadLink(found.fd.get()));
        response.mutable_entries(0)->set_link_target(ShownPath(target));
      }
      return call.Send(response);
    }
    RETURN_IF_ERROR(CheckAccess(found, role));
    WalkLimits limits;
    limits.depth = std::max(1u, request.depth());
    limits.entries = request.max_entries() == 0 ? kListedUnlessTold : request.max_entries();
    if (limits.depth > 1) RETURN_IF_ERROR(CheckWalked(found));
    Lister lister(call, role);
    RETURN_IF_ERROR(Annotate(Walk(found, limits, lister, lister.omissions()), found.path));
    return lister.End();
  }

  absl::Status Read(FileCall& call, const ReadFileRequest& request, const FoundFile& found, Need role) {
    if (request.offset() != 0 && request.tail_bytes() != 0) {
      return absl::InvalidArgumentError("an offset and a tail contradict each other: give one of them");
    }
    if (request.follow() && found.place.one_by_one()) {
      return absl::InvalidArgumentError(
          absl::StrCat(found.path, " is made when it is read: there is nothing to follow"));
    }
    RETURN_IF_ERROR(CheckRegular(found));
    RETURN_IF_ERROR(CheckAccess(found, role));
    absl::StatusOr<UniqueFd> file = OpenToRead(found.fd.get());
    RETURN_IF_ERROR(Annotate(file.status(), found.path));
    ReadFileResponse response;
    ReadHands hands;
    hands.take = [&](uint64_t offset, std::string& data) {
      response.set_offset(offset);
      response.mutable_data()->swap(data);
      return call.Send(response);  // which took the bytes: `data` has the room of the message before for the next
    };
    hands.pause = [&] { return call.Pause(kFollowPause); };
    ReadRange range = {request.offset(), request.limit_bytes(), request.tail_bytes(), request.follow()};
    return Annotate(ReadFileRange(file->get(), range, hands), found.path);
  }

  absl::Status MakeTar(FileCall& call, const ArchiveRequest&, const FoundFile& found, Need role) {
    if (!S_ISDIR(found.info.st_mode) && !S_ISLNK(found.info.st_mode)) RETURN_IF_ERROR(CheckRegular(found));
    RETURN_IF_ERROR(CheckAccess(found, role));
    RETURN_IF_ERROR(CheckWalked(found));
    auto take = [&](std::string bytes) {
      ArchiveResponse response;
      response.set_data(std::move(bytes));
      return call.Send(response);
    };
    absl::StatusOr<machine::v1::ArchiveSummary> summary =
        MakeArchive(found, role, ArchiveLimits(), {take, [&] { return call.KeepGoing(); }});
    RETURN_IF_ERROR(Annotate(summary.status(), found.path));
    ArchiveResponse last;
    *last.mutable_summary() = *std::move(summary);
    return call.Send(last);
  }

  absl::Status Count(FileCall& call, const DiskUsageRequest& request, const FoundFile& found, Need role) {
    if (request.depth() > kMaxWalkDepth) return absl::InvalidArgumentError("directories are told 64 deep at most");
    RETURN_IF_ERROR(CheckWalked(found));
    UsageOptions options;
    options.depth = request.depth();
    options.crossing = request.cross_mounts() ? Crossing::kAllow : Crossing::kRefuse;
    options.keep_going = [&] { return call.KeepGoing(); };
    DiskUsageResponse response;
    TellUsage tell = [&](machine::v1::DirectoryUsage usage) -> absl::Status {
      *response.add_directories() = std::move(usage);
      if (response.directories_size() < kBatch) return absl::OkStatus();
      RETURN_IF_ERROR(call.Send(response));
      response.Clear();
      return absl::OkStatus();
    };
    Omissions omissions;
    RETURN_IF_ERROR(Annotate(CountUsage(found, role, options, tell, omissions), found.path));
    omissions.AppendTo(&response);
    return call.Send(response);
  }

  static absl::Status CheckRegular(const FoundFile& found) {
    if (S_ISREG(found.info.st_mode)) return absl::OkStatus();
    if (S_ISDIR(found.info.st_mode)) {
      return absl::FailedPreconditionError(absl::StrCat(found.path, " is a directory: list or archive it"));
    }
    if (S_ISLNK(found.info.st_mode)) {
      ASSIGN_OR_RETURN(std::string target, ReadLink(found.fd.get()));
      return absl::FailedPreconditionError(absl::StrCat(
          found.path, " is a link, and links are not followed: name the file that it leads to, ", ShownPath(target)));
    }
    return absl::FailedPreconditionError(
        absl::StrCat(found.path, " is a device, a FIFO or a socket: only regular files are read"));
  }

  static absl::Status CheckWalked(const FoundFile& found) {
    if (!found.place.one_by_one()) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        found.path, " is listed and read one by one: it is the kernel's, or all of the node, and no store of files"));
  }

  const std::string top_;
  const absl::Span<const FileRule> rules_;
  const absl::Duration stall_;
  std::shared_ptr<std::atomic<int>> under_way_ = std::make_shared<std::atomic<int>>(0);
};

}  // namespace

std::unique_ptr<grpc::Service> MakeFileService(std::string top, absl::Span<const FileRule> rules,
                                               absl::Duration stall) {
  return std::make_unique<FileService>(std::move(top), rules, stall);
}

std::unique_ptr<grpc::Service> MakeFileService(NodeApi&) { return MakeFileService("/", NodeFileRules()); }

}  // namespace stele::machined
