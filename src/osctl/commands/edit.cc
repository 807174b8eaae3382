// osctl edit: the configuration in the user's editor.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>

#include "base/file.h"
#include "osctl/commands/config.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ApplyConfigRequest;

// $VISUAL, else $EDITOR, may have arguments of its own, as everywhere.
std::string EditorOf(const Session& session) {
  for (const char* name : {"VISUAL", "EDITOR"}) {
    const char* editor = session.getenv()(name);
    if (editor != nullptr && *editor != '\0') return editor;
  }
  return "vi";
}

// A file that only its owner can read.
absl::StatusOr<std::string> WriteTemporary(const Session& session, absl::string_view text) {
  const char* folder = session.getenv()("TMPDIR");
  std::string path = absl::StrCat(folder == nullptr || *folder == '\0' ? "/tmp" : folder, "/osctl-edit-XXXXXX.yaml");
  UniqueFd file(::mkostemps(path.data(), 5, O_CLOEXEC));
  if (!file.ok()) return ErrnoStatus("create ", path);
  RETURN_IF_ERROR(Annotate(WriteAll(file.get(), text), absl::StrCat("write ", path)));
  return path;
}

// Waits for the editor, which has the terminal; Ctrl-C is its own.
absl::Status RunEditor(const std::string& editor, const std::string& path) {
  std::string command = absl::StrCat(editor, " \"$1\"");
  std::string sh = "sh", option = "-c", file = path;
  char* argv[] = {sh.data(), option.data(), command.data(), sh.data(), file.data(), nullptr};
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  ::posix_spawnattr_setsigdefault(&attributes, &interrupt);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  auto before = ::signal(SIGINT, SIG_IGN);
  pid_t pid = -1;
  int error = ::posix_spawn(&pid, "/bin/sh", nullptr, &attributes, argv, environ);
  ::posix_spawnattr_destroy(&attributes);
  int status = 0;
  while (error == 0 && ::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  ::signal(SIGINT, before);
  if (error != 0) return StatusFromErrno(error, "start /bin/sh");
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::AbortedError(
      absl::StrCat("the editor (", editor, ") ended with ", WIFEXITED(status) ? "exit " : "signal ",
                   WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), "; nothing was changed"));
}

absl::StatusOr<std::string> Edited(const std::string& editor, const std::string& path) {
  RETURN_IF_ERROR(RunEditor(editor, path));
  return ReadConfigFile(path);
}

absl::Status EditNode(Node& node, Session& session, const ConfigChangeOptions& options) {
  ASSIGN_OR_RETURN(auto config, node.Call(method::kGetConfigText, {}));
  absl::StatusOr<std::string> path = WriteTemporary(session, config.yaml());
  if (!path.ok()) return WithExit(path.status(), ExitCode::kLocal);
  absl::StatusOr<std::string> text = Edited(EditorOf(session), *path);
  if (!text.ok() || *text == config.yaml()) {
    ::unlink(path->c_str());
    if (!text.ok()) return WithExit(text.status(), ExitCode::kLocal);
    session.Tell(node, "nothing was changed");
    return absl::OkStatus();
  }
  ApplyConfigRequest request;
  request.set_yaml(*text);
  request.set_if_generation(config.generation());
  SetConfigChange(session, options, &request);
  auto response = node.Call(method::kApplyConfig, request);
  if (response.ok()) {
    ::unlink(path->c_str());
    TellConfigChange(session, node, "the text", options, *response);
    return absl::OkStatus();
  }
  // The work is not lost: what was typed stays, and `apply` takes it as it is.
  absl::Status failed = ConfigCallFailure(session, node, *path, response.status());
  return WithExit(failed, ExitCodeOf(failed), absl::StrCat("mend it and `osctl apply -f ", *path, "`"));
}

}  // namespace

Command EditCommand() {
  auto options = std::make_shared<ConfigChangeOptions>();
  Command command;
  command.name = "edit";
  command.summary = "opens the node's configuration in $VISUAL or $EDITOR, and applies what was changed";
  command.description =
      "Comments are kept. A secret says (secret), and stays what it is while it says so.\n"
      "A text that is refused stays in its file.";
  command.arguments = ConfigChangeArguments(options.get());
  command.run = [options](Session& session) {
    // One after the other: there is one terminal.
    return session.ForEachNode("edit", 1, [&](Node& node) { return EditNode(node, session, *options); });
  };
  return command;
}

}  // namespace stele::osctl
