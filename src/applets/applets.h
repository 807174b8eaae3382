// The small programs that services execute, all in one static binary. The name it was started
// under chooses, as /usr/bin/mount does; else the first argument, as in "applets reaper".
#pragma once

namespace stele::applets {

// mount(8), as far as the kubelet uses it; 32 when the kernel refuses, as there.
int MountMain(int argc, char** argv);
// umount(8), likewise.
int UmountMain(int argc, char** argv);
// dhcpcd's script: tells machined what its environment says, in one datagram.
int DhcpReportMain(int argc, char** argv);
// A file from a URL, by a wget that may do nothing else.
int FetchMain(int argc, char** argv);
// PID 1 of the workload's namespace: reaps; on SIGTERM ends everything, then itself.
int ReaperMain(int argc, char** argv);

}  // namespace stele::applets
