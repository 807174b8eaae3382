"""osctl beside a bare gRPC client, and beside ssh: one call, and a log of 256 MiB, on loopback.

The server is the same bare gRPC one for osctl and for the bare client (apid and machined have benchmarks
of their own). ssh needs sshd, which is started here on a port of its own with keys of its own.
"""

import contextlib
import os
import pathlib
import resource
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = TOP / "build" / "release" / "bin"
LOG_BYTES = 256 << 20
CALLS = 21
STREAMS = 5


def timed(command, environment=None, to=subprocess.DEVNULL):
    """Seconds on the clock and of processor time of one whole process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=to, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, used


def through_pipe(command, environment=None):
    """Bytes a second into a pipe that is read as fast as they come."""
    began, total = time.perf_counter(), 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL) as process:
        buffer = bytearray(1 << 20)
        while got := process.stdout.readinto(buffer):
            total += got
    if process.returncode or total < LOG_BYTES:
        raise RuntimeError(f"{command[0]}: exit {process.returncode} after {total} bytes")
    return total / (time.perf_counter() - began)


@contextlib.contextmanager
def api(keys):
    with subprocess.Popen([BIN / "osctl_bench", "server", keys, "bench", str(LOG_BYTES)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.stdin.close()


@contextlib.contextmanager
def ssh_server(folder):
    """An ssh command for this machine, or None where there is no sshd that lets us in."""
    sshd = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
    if sshd is None or shutil.which("ssh") is None:
        yield None
        return
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n")
    pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    with subprocess.Popen([sshd, "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL) as daemon:
        try:
            for _ in range(50):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            ssh = ["ssh", "-F", "none", "-p", str(port), "-i", str(folder / "user"), "-o", "StrictHostKeyChecking=no",
                   "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "127.0.0.1"]
            works = subprocess.run([*ssh, "true"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
            yield ssh if works else None
        finally:
            daemon.terminate()


def run(bench):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        keys = folder / "keys"
        subprocess.run([BIN / "osctl", "gen", "node", "bench", "--san", "127.0.0.1", "-o", keys], check=True,
                       stderr=subprocess.DEVNULL)
        environment = {**os.environ, "OSCTLCONFIG": str(keys / "osctl.yaml")}
        with api(keys) as address, ssh_server(folder) as ssh:
            calls(bench, environment, keys, address, ssh)
            streams(bench, environment, keys, address, ssh, folder)


def calls(bench, environment, keys, address, ssh):
    bench.step(f"{CALLS} calls of each, in turns")
    ours, bare, theirs = [], [], []
    for _ in range(CALLS):
        ours.append(timed([BIN / "osctl", "-n", address, "version"], environment))
        bare.append(timed([BIN / "osctl_bench", "version", keys, address]))
        if ssh:
            theirs.append(timed([*ssh, "true"]))
    middle = lambda rounds, part: statistics.median(r[part] for r in rounds) * 1000
    bench.row("osctl version, whole process", middle(ours, 0), "ms", against="bare gRPC client",
              ratio=middle(ours, 0) / middle(bare, 0), reach="within 2x of bare")
    bench.row("  processor time", middle(ours, 1), "ms", against="bare gRPC client", ratio=middle(ours, 1) / middle(bare, 1),
              reach="about 10 ms")
    bench.row("bare gRPC client, one call", middle(bare, 0), "ms")
    if theirs:
        bench.row("ssh … true", middle(theirs, 0), "ms", against="osctl version is its",
                  ratio=middle(ours, 0) / middle(theirs, 0), reach="1/20")
    else:
        bench.row("ssh … true", 0, "ms", note="not measured: needs openssh-server and root")


def streams(bench, environment, keys, address, ssh, folder):
    bench.step(f"{STREAMS} logs of {LOG_BYTES >> 20} MiB of each, in turns")
    ours, bare, theirs = [], [], []
    file = folder / "log"
    if ssh:
        with open(file, "wb") as out:
            for _ in range(LOG_BYTES >> 20):
                out.write(b"x" * (1 << 20))
    for _ in range(STREAMS):
        ours.append(through_pipe([BIN / "osctl", "-n", address, "logs", "x"], environment))
        bare.append(through_pipe([BIN / "osctl_bench", "log", keys, address]))
        if ssh:
            theirs.append(through_pipe([*ssh, f"cat {file}"]))
    rate = lambda rounds: statistics.median(rounds) / 1e6
    bench.row("osctl logs", rate(ours), "MB/s", against="bare gRPC client", ratio=rate(ours) / rate(bare),
              reach="0.5 of bare or more")
    bench.row("bare gRPC client", rate(bare), "MB/s")
    if theirs:
        bench.row("ssh … cat", rate(theirs), "MB/s", against="osctl logs is its", ratio=rate(ours) / rate(theirs),
                  reach="ahead of ssh")
