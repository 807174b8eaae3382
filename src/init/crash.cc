#include "init/crash.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>

#include "init/log.h"

namespace stele::init {
namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
constexpr int kSyncTenths = 30;
alignas(16) char g_stack[32 * 1024];  // the ordinary one may be what broke

// A line put together without anything that could lock or allocate.
class Line {
 public:
  Line& Text(const char* text) {
    while (*text != '\0' && size_ < sizeof text_ - 1) text_[size_++] = *text++;
    return *this;
  }
  Line& Number(uint64_t number, unsigned base) {
    char digits[24];
    int at = 24;
    do {
      digits[--at] = "0123456789abcdef"[number % base];
    } while ((number /= base) != 0);
    while (at < 24 && size_ < sizeof text_ - 1) text_[size_++] = digits[at++];
    return *this;
  }
  void Write() {
    text_[size_++] = '\n';
    (void)!::write(LogDescriptor() >= 0 ? LogDescriptor() : STDERR_FILENO, text_, size_);
    size_ = 0;
  }

 private:
  char text_[400];
  size_t size_ = 0;
};

const char* Name(int signal) {
  switch (signal) {
    case SIGSEGV:
      return "SIGSEGV";
    case SIGBUS:
      return "SIGBUS";
    case SIGFPE:
      return "SIGFPE";
    case SIGILL:
      return "SIGILL";
    case SIGABRT:
      return "SIGABRT";
    case SIGSYS:
      return "SIGSYS";
    case SIGTRAP:
      return "SIGTRAP";
    default:
      return "a signal";
  }
}

// Follows saved frame pointers (init is compiled with them) while they climb within one stack.
void WriteReturnAddresses(uint64_t frame) {
  Line line;
  line.Text("<2>init: called from");
  uint64_t lowest = frame;
  for (int depth = 0; depth < 16; ++depth) {
    if (frame < lowest || frame - lowest > 1 << 20 || frame % 8 != 0 || frame == 0) break;
    uint64_t words[2];
    // A read that fails instead of crashing again.
    iovec to = {words, sizeof words}, from = {reinterpret_cast<void*>(frame), sizeof words};
    if (::syscall(SYS_process_vm_readv, ::getpid(), &to, 1, &from, 1, 0) != static_cast<long>(sizeof words)) break;
    line.Text(" ").Number(words[1], 16);
    if (words[0] <= frame) break;
    frame = words[0];
  }
  line.Write();
}

void SyncInChild() {
  clone_args arguments = {};
  arguments.flags = CLONE_CLEAR_SIGHAND;
  arguments.exit_signal = SIGCHLD;
  long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0) {
    ::sync();
    ::_exit(0);
  }
  for (int i = 0; pid > 0 && i < kSyncTenths; ++i) {
    if (::waitpid(static_cast<pid_t>(pid), nullptr, WNOHANG) == pid) return;
    timespec tenth = {.tv_sec = 0, .tv_nsec = 100'000'000};
    ::nanosleep(&tenth, nullptr);
  }
}

void OnCrash(int signal, siginfo_t* info, void* context) {
  static volatile bool crashed = false;
  if (!crashed) {  // a second crash, in here, reboots at once
    crashed = true;
    const greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    Line line;
    line.Text("<2>init: crashed: ").Text(Name(signal)).Text(" code ").Number(static_cast<unsigned>(info->si_code), 10);
    if (info->si_code <= 0) {
      line.Text(" sent by pid ").Number(static_cast<unsigned>(info->si_pid), 10);
    } else {
      line.Text(" at address ").Number(reinterpret_cast<uint64_t>(info->si_addr), 16);
    }
    line.Write();
    static constexpr struct {
      const char* name;
      int index;
    } kShown[] = {{" rip ", REG_RIP}, {" rsp ", REG_RSP}, {" rbp ", REG_RBP}, {" rax ", REG_RAX}, {" rbx ", REG_RBX},
                  {" rcx ", REG_RCX}, {" rdx ", REG_RDX}, {" rsi ", REG_RSI}, {" rdi ", REG_RDI}};
    line.Text("<2>init:");
    for (const auto& shown : kShown) line.Text(shown.name).Number(static_cast<uint64_t>(registers[shown.index]), 16);
    line.Write();
    WriteReturnAddresses(static_cast<uint64_t>(registers[REG_RBP]));
    line.Text("<2>init: rebooting").Write();
    SyncInChild();
  }
  ::reboot(RB_AUTOBOOT);
  ::_exit(127);  // not allowed to: a kernel panic, and panic= reboots
}

}  // namespace

void InstallCrashHandler() {
  stack_t stack = {.ss_sp = g_stack, .ss_flags = 0, .ss_size = sizeof g_stack};
  ::sigaltstack(&stack, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = OnCrash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (int signal : kSignals) ::sigaction(signal, &action, nullptr);
}

}  // namespace stele::init
