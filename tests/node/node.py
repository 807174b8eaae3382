"""A node without a VM: the real init as PID 1 of fresh namespaces, on a root made from the built
programs, with the real machined and apid, used through osctl. Up in about a second.

    with Node(tmp_path) as node:
        node.wait_api()
        node.osctl("get", "services")

What the image has from Debian is not here: udevd and containerd are replaced by programs of the test,
the kubelet is missing. Tests that need those run in QEMU (tests/vm).
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("STELE_BIN", TOP / "build" / "release" / "bin"))
WORK = TOP / "build" / "node"
HERE = pathlib.Path(__file__).resolve().parent
CGROUP2 = [pathlib.Path("/sys/fs/cgroup"), pathlib.Path("/sys/fs/cgroup/unified")]


class Failed(AssertionError):
    """What a node did not do in time."""


def missing_capability():
    """What this machine lacks to run a node, or None."""
    if os.geteuid() != 0:
        return "root (namespaces and mounts)"
    for program in ("init", "machined", "apid", "osctl"):
        if not (BIN / program).exists():
            return f"{BIN / program}: run ./dev build"
    if cgroup2() is None:
        return "a cgroup2 tree below /sys/fs/cgroup"
    return None


def cgroup2():
    for path in CGROUP2:
        if (path / "cgroup.procs").exists() and (path / "cgroup.subtree_control").exists():
            return path
    return None


def compile_helper(name):
    """A static program from the C file of that name; compiled when the file changed."""
    WORK.mkdir(parents=True, exist_ok=True)
    source, program = HERE / f"{name}.c", WORK / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["gcc", "-O1", "-static", "-Wall", "-o", program, source], check=True)
    return program


def libraries_of(program):
    out = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return sorted(set(re.findall(r"(/[^ ]+\.so[^ ]*)", out)))


class Node:
    def __init__(self, folder, config_text=None, programs=None):
        self.folder = pathlib.Path(folder)
        self.root = self.folder / "root"
        self.programs = {"/usr/lib/systemd/systemd-udevd": compile_helper("talker")} if programs is None else programs
        self.config_text = config_text
        self.process = None
        self.pid = None
        self.cgroup = None
        self._make_root()

    # ---- Making it

    def _make_root(self):
        shutil.rmtree(self.root, ignore_errors=True)
        for name in ("proc", "sys", "dev", "run", "tmp", "etc", "var", "usr/lib/stele", "usr/bin", "usr/sbin",
                     "usr/lib64", "usr/lib/x86_64-linux-gnu", "usr/share/stele", "opt/cni/bin"):
            (self.root / name).mkdir(parents=True)
        for link, target in (("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")):
            (self.root / link).symlink_to(target)
        (self.root / "var/run").symlink_to("/run")
        (self.root / "etc/passwd").write_text("root:x:0:0::/:/none\napid:x:900:900::/:/none\nnobody:x:65534:65534::/:/none\n")
        (self.root / "etc/group").write_text("root:x:0:\napid:x:900:\n")
        for name in ("init", "machined", "apid", "applets"):
            if (BIN / name).exists():
                self.install(BIN / name, f"/usr/lib/stele/{name}")
        (self.root / "usr/lib/stele/reaper").symlink_to("applets")
        (self.root / "usr/lib/stele/forward").symlink_to("machined")
        for path, program in self.programs.items():
            self.install(program, path)
        self._make_keys()

    def install(self, program, path):
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(program, target)
        for library in libraries_of(program):
            place = self.root / os.path.realpath(os.path.dirname(library)).lstrip("/")
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy2(library, place / os.path.basename(library))

    def _make_keys(self):
        self.osctl_config = self.folder / "osctl.yaml"
        self.run_osctl("gen", "node", "node", "--san", "127.0.0.1", "-o", self.folder / "keys")
        self.osctl_config = self.folder / "keys" / "osctl.yaml"
        text = self.config_text
        if text is None:
            text = next((self.folder / "keys").glob("*node*.yaml")).read_text()
        self.config = text
        (self.root / "usr/share/stele/config.yaml").write_text(text)

    # ---- Its life

    def start(self):
        self.cgroup = cgroup2() / f"stele-node-{os.getpid()}-{id(self)}"
        self.cgroup.mkdir()
        self.console = open(self.folder / "console.log", "ab")
        self.process = subprocess.Popen([compile_helper("enter"), self.root, self.cgroup], stdout=subprocess.PIPE,
                                        stderr=self.console, stdin=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        if not line.strip().isdigit():
            raise Failed(f"the node did not start: {self.console_tail()}")
        self.pid = int(line)
        return self

    def stop(self):
        if self.process is not None:
            if self.process.poll() is None and self.pid is not None:
                try:
                    os.kill(self.pid, signal.SIGKILL)  # PID 1 of the namespace: all of it ends
                except ProcessLookupError:
                    pass
            self.process.wait(timeout=10)
            self.process.stdout.close()
            self.process = None
        if self.cgroup is not None:
            for directory, _, _ in os.walk(self.cgroup, topdown=False):
                for _ in range(50):
                    try:
                        os.rmdir(directory)
                        break
                    except OSError:
                        time.sleep(0.02)
            self.cgroup = None

    def wait_end(self, timeout=30):
        """How the node's PID 1 ended: "signal 1" for a reboot, "signal 2" for power-off."""
        self.process.wait(timeout=timeout)
        return self.process.stdout.readline().strip()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # ---- Looking at it

    def inside(self, *command, **options):
        """Runs a program of the host in the node's network namespace."""
        return subprocess.run(["nsenter", "-t", str(self.pid), "-n", *map(str, command)], **options)

    def popen_inside(self, *command, **options):
        return subprocess.Popen(["nsenter", "-t", str(self.pid), "-n", *map(str, command)], **options)

    def environment(self):
        return os.environ | {"OSCTLCONFIG": str(self.osctl_config)}

    def run_osctl(self, *words):
        done = subprocess.run([BIN / "osctl", *map(str, words)], env=self.environment(), capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"osctl {words}: exit {done.returncode}: {done.stderr}")
        return done.stdout

    def try_osctl(self, *words, timeout=30):
        return self.inside(BIN / "osctl", *words, env=self.environment(), capture_output=True, text=True, timeout=timeout)

    def osctl(self, *words, timeout=30):
        done = self.try_osctl(*words, timeout=timeout)
        if done.returncode != 0:
            raise Failed(f"osctl {' '.join(map(str, words))}: exit {done.returncode}: {done.stderr}")
        return done.stdout

    def get(self, kind):
        """The resources of a type by id, as dictionaries."""
        text = self.osctl("get", kind, "-o", "json").strip()
        decoder, found = json.JSONDecoder(), {}
        while text:
            value, end = decoder.raw_decode(text)
            text = text[end:].strip()
            for item in value.get("resources", value.get("items", [value])) if isinstance(value, dict) else value:
                found[item["id"]] = item
        return found

    def pretend_boot(self, boot_id):
        """What machined takes for another boot: the kernel's boot_id, as the node sees it, is another one from now on.
        Nothing restarts; a kill of machined makes it look."""
        path = self.root / "usr/share/stele" / boot_id
        path.write_text(boot_id + "\n")
        program = ("import ctypes, os, sys\n"
                   "libc = ctypes.CDLL(None, use_errno=True)\n"
                   "fd = os.open(f'/proc/{sys.argv[1]}/ns/mnt', os.O_RDONLY)\n"
                   "source, target = sys.argv[2].encode(), b'/proc/sys/kernel/random/boot_id'\n"
                   "ok = libc.setns(fd, 0) == 0 and libc.mount(source, target, None, 4096, None) == 0\n"
                   "sys.exit(0 if ok else os.strerror(ctypes.get_errno()))\n")
        subprocess.run([sys.executable, "-c", program, str(self.pid), f"/usr/share/stele/{boot_id}"], check=True)

    def kill_machined(self):
        """kill -9, and waits until another one answers."""
        before = self.pids("machined")
        os.kill(before[0], signal.SIGKILL)
        self.wait("machined is back", lambda: self.pids("machined") not in ([], before))
        self.wait_api()

    def events(self):
        return self.osctl("events")

    def services(self):
        return {name: item["body"] for name, item in self.get("services").items()}

    def pids(self, name):
        """Pids, as the host sees them, of the node's processes of that program."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if os.readlink(entry / "ns/pid") != os.readlink(f"/proc/{self.pid}/ns/pid"):
                    continue
                if (entry / "comm").read_text().strip() == name[:15]:
                    found.append(int(entry.name))
            except OSError:
                continue  # it ended meanwhile
        return found

    def calls(self):
        """How many threads of machined carry a call (own_thread.h)."""
        count = 0
        for pid in self.pids("machined"):
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                try:
                    count += (task / "comm").read_text() == "call\n"
                except OSError:
                    continue  # it ended meanwhile
        return count

    def console_tail(self):
        return (self.folder / "console.log").read_text(errors="replace")[-3000:]

    def wait(self, what, condition, timeout=20, pause=0.05):
        """Returns the condition's first true value. An exception of the harness counts as not yet."""
        until, last = time.monotonic() + timeout, None
        while time.monotonic() < until:
            if self.process is not None and self.process.poll() is not None:
                raise Failed(f"{what}: the node ended: {self.console_tail()}")
            try:
                value = condition()
                if value:
                    return value
                last = value
            except (Failed, subprocess.TimeoutExpired, KeyError) as error:
                last = error
            time.sleep(pause)
        raise Failed(f"not within {timeout} s: {what}; last: {last}\n{self.console_tail()}")

    def wait_api(self, timeout=20):
        self.wait("the API answers", lambda: self.osctl("version", "--timeout", "2s"), timeout)
        return self
