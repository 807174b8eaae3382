// pause: holds a pod's namespaces open, reaps as its PID 1, ends on SIGTERM or SIGINT.
//
// One copy runs in every pod, so it is as small as it can be: no libc, no handler, one page of
// code. Signals are blocked and waited for.

#if !defined(__x86_64__)
#error "write the system call for this machine"
#endif

enum { kSigInt = 2, kSigTerm = 15, kSigChld = 17, kNoHang = 1, kBlock = 0 };
enum { kRtSigprocmask = 14, kWait4 = 61, kRtSigtimedwait = 128, kExitGroup = 231 };

static long Call(long number, long a, long b, long c, long d) {
  register long r10 __asm__("r10") = d;
  long answer;
  __asm__ volatile("syscall" : "=a"(answer) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return answer;
}

__attribute__((noreturn, used, force_align_arg_pointer)) void _start(void) {
  unsigned long wanted = 1ul << (kSigInt - 1) | 1ul << (kSigTerm - 1) | 1ul << (kSigChld - 1);
  Call(kRtSigprocmask, kBlock, (long)&wanted, 0, sizeof wanted);
  for (;;) {
    long signal = Call(kRtSigtimedwait, (long)&wanted, 0, 0, sizeof wanted);
    if (signal == kSigInt || signal == kSigTerm) Call(kExitGroup, 0, 0, 0, 0);
    while (Call(kWait4, -1, 0, kNoHang, 0) > 0) {
    }
  }
}
