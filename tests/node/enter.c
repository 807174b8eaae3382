/* Starts a root directory's /usr/lib/stele/init as PID 1 of fresh namespaces, and waits for its end.
 *
 *   enter ROOT CGROUP     prints init's pid as the host sees it, then exits as init did
 *
 * CGROUP is a cgroup2 directory of the test's own; it becomes the root of the node's tree. When this
 * program is killed, init is too, and with it everything in the namespace. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(int ok, const char* what) {
  if (ok) return;
  fprintf(stderr, "enter: %s: %s\n", what, strerror(errno));
  _exit(125);
}

static void become_init(const char* root) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "make mounts private");
  check(mount(root, root, NULL, MS_BIND, NULL) == 0, "bind the root");
  check(chdir(root) == 0, "enter the root");
  check(syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  check(umount2(".", MNT_DETACH) == 0, "leave the host's mounts");
  check(chdir("/") == 0, "enter /");
  char* argv[] = {"/usr/lib/stele/init", NULL};
  char* env[] = {NULL};
  execve(argv[0], argv, env);
  check(0, argv[0]);
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "use: enter ROOT CGROUP\n");
    return 125;
  }
  char procs[4096];
  snprintf(procs, sizeof procs, "%s/cgroup.procs", argv[2]);
  int fd = open(procs, O_WRONLY | O_CLOEXEC);
  check(fd >= 0 && write(fd, "0", 1) == 1, procs);
  check(unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP) == 0,
        "unshare");
  pid_t init = fork();
  check(init >= 0, "fork");
  if (init == 0) become_init(argv[1]);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  printf("%d\n", init);
  fflush(stdout);
  int status;
  while (waitpid(init, &status, 0) < 0) check(errno == EINTR, "wait");
  /* reboot(2) in a PID namespace shows as a signal: HUP for restart, INT for power-off and halt. */
  if (WIFSIGNALED(status))
    printf("signal %d\n", WTERMSIG(status));
  else
    printf("exit %d\n", WEXITSTATUS(status));
  return 0;
}
