#include "machined/boots/boot_logs.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "machined/kernel_log.h"
#include "machined/line_filter.h"
#include "machined/log_segments.h"

namespace stele::machined {
namespace {

constexpr char kTextBegin[] = "begin", kTextEnd[] = "end";

std::vector<std::string> FoldersIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code ignored;  // what cannot be read has nothing in it
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (entry.is_directory(ignored)) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status SaveKernelLog(const std::string& to) {
  ASSIGN_OR_RETURN(std::unique_ptr<LogSource> kernel, OpenKernelLog("", {.follow = false}));
  std::string text;
  std::vector<LogTime> times;
  while (true) {
    ASSIGN_OR_RETURN(LogChunk chunk, kernel->Next());
    if (chunk.data.size() == 0) break;
    for (const LogChunk::Mark& mark : chunk.marks) {
      times.push_back({text.size() + mark.offset, absl::ToUnixNanos(mark.time)});
    }
    text.append(chunk.data.view().data(), chunk.data.size());
  }
  return WriteLog(to, text, times, kBootLogBytes);
}

class TextLog : public LogSource {
 public:
  TextLog(std::string text, bool given) : text_(std::move(text)), given_(given) {
    if (!text_.empty() && text_.back() != '\n') text_ += '\n';
  }
  absl::StatusOr<LogChunk> Next() override {
    LogChunk chunk;
    size_t size = std::exchange(given_, true) ? 0 : text_.size();
    chunk.data = LogBuffer(size);
    std::memcpy(chunk.data.data(), text_.data(), size);
    chunk.data.set_size(size);
    chunk.cursor = Place().cursor;
    return chunk;
  }
  LogPlace Place() const override { return {.cursor = given_ ? kTextEnd : kTextBegin}; }

 private:
  std::string text_;
  bool given_;
};

}  // namespace

absl::Status SaveBootLogs(const std::string& logs, const std::string& folder, const std::string& boot_id) {
  std::string to = absl::StrCat(folder, "/", boot_id);
  std::error_code ignored;  // of a try to end that was refused
  std::filesystem::remove_all(to, ignored);
  absl::Status status = SaveKernelLog(to + "/kernel");
  std::vector<std::string> services = FoldersIn(logs);
  if (services.size() > kMaxBootLogs) services.resize(kMaxBootLogs);
  for (const std::string& service : services) {
    status.Update(CopyLogEnd(absl::StrCat(logs, "/", service), absl::StrCat(to, "/", service), kBootLogBytes));
  }
  return status;
}

void ForgetBootLogs(const std::string& folder, const std::string& boot_id, const std::string& boot_before) {
  for (const std::string& name : FoldersIn(folder)) {
    std::error_code ignored;  // tried again at the next boot
    if (name != boot_id && name != boot_before) std::filesystem::remove_all(absl::StrCat(folder, "/", name), ignored);
  }
}

absl::StatusOr<std::unique_ptr<LogSource>> OpenBootLog(const std::string& folder, const std::string& boot_id,
                                                       const std::string& name, const LogStart& from) {
  bool is_name = !name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  bool of_init = name == "init";
  std::string directory = absl::StrCat(folder, "/", boot_id, "/", of_init ? "kernel" : name);
  if (!is_name || boot_id.empty() || ListSegments(directory).empty()) {
    return absl::NotFoundError(absl::StrCat("no log of ", name, " was kept of the boot before"));
  }
  LogStart start = from;
  start.follow = false;
  if (of_init) start.tail_lines = 0;
  ASSIGN_OR_RETURN(std::unique_ptr<SegmentReader> reader, SegmentReader::Open(directory, boot_id.substr(0, 8), start));
  if (!of_init) return absl::StatusOr<std::unique_ptr<LogSource>>(std::move(reader));
  // As it says so in the kernel's log (kernel_log.h).
  return FilterLines(std::move(reader),
                     {.pattern = "^\\[ *[0-9.]+\\] init: ", .tail_lines = from.cursor.empty() ? from.tail_lines : 0});
}

absl::StatusOr<std::unique_ptr<LogSource>> LogOfText(std::string text, const LogStart& from) {
  return FilterLines(std::make_unique<TextLog>(std::move(text), from.cursor == kTextEnd),
                     {.tail_lines = from.cursor.empty() ? from.tail_lines : 0});
}

}  // namespace stele::machined
