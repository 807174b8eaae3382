#include "init/last_words_task.h"

#include "init/log.h"
#include "init/task.h"

namespace stele::init {
namespace {

struct Work {
  std::string disk;
  LastWords words;
};

// In the child, which has a copy of all that is ours.
int Write(uint64_t work) {
  const Work& what = *reinterpret_cast<const Work*>(work);
  absl::Status status = WriteLastWords(what.disk, what.words);
  if (!status.ok()) Log(Level::kError, "trial: %s", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}

std::string Tell(const std::string& reason, Service* machined) {
  std::string text = reason;
  if (machined == nullptr || machined->has_process()) return text;  // then its log is its own to read
  const ServiceState& state = machined->state();
  if (state.exit_kind == init_protocol::ExitKind::kExited)
    absl::StrAppend(&text, "; machined last ended with exit ", state.exit_value);
  if (state.exit_kind == init_protocol::ExitKind::kSignaled)
    absl::StrAppend(&text, "; machined last ended with signal ", state.exit_value);
  if (state.exit_kind == init_protocol::ExitKind::kSpawnFailed)
    absl::StrAppend(&text, "; machined could not be started: ", init_protocol::SpawnStepName(state.failed_step),
                    ", errno ", state.exit_value);
  std::string log = machined->log().TakeTail(kLastWordsSize);
  return log.empty() ? text : absl::StrCat(text, "; its log:\n", log);
}

}  // namespace

void LastWordsTask::Begin(uint64_t now, const BootFacts& facts, const std::string& reason, Service* machined) {
  deadline_ = now + kPatience;  // first: what follows allocates
  absl::StatusOr<std::string> disk = WholeDiskOf(facts.root_device);
  if (disk.ok()) {
    Work work = {*disk, {facts.root_hash, facts.entry, Tell(reason, machined)}};
    pid_ = StartTask(Write, reinterpret_cast<uint64_t>(&work));
  }
  if (pid_ <= 0) deadline_ = now;
}

void LastWordsTask::OnChildExit(pid_t pid) {
  if (pid == pid_ && deadline_ != kNever) deadline_ = 0;
}

bool LastWordsTask::Done(uint64_t now) {
  if (now < deadline_) return false;
  deadline_ = kNever;
  return true;
}

}  // namespace stele::init
