"""A node in QEMU, used as an operator uses one: through osctl and nothing else.

    with harness.node("name", static_pods=[...]) as node:
        node.wait_api()
        node.wait_running("default/probe")

Folders are below build/vm/<name>; the serial log stays there for whoever asks why a test failed.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "image"))

import archive  # noqa: E402
import machine  # noqa: E402

BIN = TOP / "build" / "release" / "bin"
IMAGE = TOP / "build" / "image"
OUT = TOP / "build" / "vm"
PROBE = "stele.local/probe:1"


class Failed(AssertionError):
    """What a node did not do in time, with the end of its serial log."""


def static_pod(name, *command, host_root=False, tmpfs=None, image=PROBE):
    """A Pod manifest for the tests' probe. JSON is YAML."""
    container = {"name": "probe", "image": image, "imagePullPolicy": "Never", "args": list(map(str, command))}
    spec = {"containers": [container], "hostNetwork": True, "terminationGracePeriodSeconds": 2, "volumes": []}
    mounts = []
    if host_root:
        container["securityContext"] = {"privileged": True, "runAsUser": 0}
        spec["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
        mounts.append({"name": "host", "mountPath": "/host"})
    if tmpfs:
        spec["volumes"].append({"name": "scratch", "emptyDir": {"medium": "Memory"}})
        mounts.append({"name": "scratch", "mountPath": tmpfs})
    container["volumeMounts"] = mounts
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


class Node:
    def __init__(self, name, static_pods=(), **options):
        self.folder = OUT / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        words = ["gen", "node", "vm", "--san", "127.0.0.1", "--san", "localhost", "-o", str(self.folder)]
        if options.get("firmware", "none") == "none":
            words += ["--disk", "/dev/vda"]
        for pod in static_pods:
            file = self.folder / f"{pod['metadata']['name']}.json"
            file.write_text(json.dumps(pod))
            words += ["--static-pod", str(file)]
        self._environment = {**os.environ, "OSCTLCONFIG": str(self.folder / "osctl.yaml")}
        self._run([BIN / "osctl", *words], 30)
        options.setdefault("lifetime", 900)
        self.config = self.folder / "vm.yaml"
        self.machine = machine.Machine(self.folder, IMAGE, machine.Options(config=self.config, **options))

    # The command line.

    def command(self, *words, port=None):
        """`port`: of something that stands between osctl and the node."""
        return [str(BIN / "osctl"), "-n", f"127.0.0.1:{port or self.machine.port}", *map(str, words)]

    def osctl(self, *words, timeout=60, check=True):
        """Standard output of osctl; Failed when it ends otherwise than 0, unless check is False."""
        return self._run(self.command(*words), timeout, check).stdout

    def try_osctl(self, *words, timeout=60, port=None):
        """(exit code, standard output, standard error)."""
        done = self._run(self.command(*words, port=port), timeout, check=False)
        return done.returncode, done.stdout, done.stderr

    def popen(self, *words, **streams):
        """A long-running osctl, such as `logs -f`. The caller ends it."""
        return subprocess.Popen(self.command(*words), env=self._environment, stdin=subprocess.DEVNULL, **streams)

    def get(self, kind):
        """Resources of a type: {id: the whole resource as JSON}."""
        return {item["id"]: item for item in items(self.osctl("get", kind, "-o", "json"))}

    def boots(self):
        """The history of boots, oldest first."""
        return [item["body"] for _, item in sorted(self.get("boots").items(), key=lambda pair: int(pair[0]))]

    def events(self):
        """The messages of this boot's events."""
        return [event.get("message", "") for event in items(self.osctl("events", "-o", "json"))]

    # Waiting.

    def wait_for(self, what, condition, timeout, pause=0.2):
        """The first true value of `condition`, which may raise Failed while it does not hold yet."""
        end, last = time.monotonic() + timeout, ""
        while time.monotonic() < end:
            if not self.machine.running():
                raise Failed(f"QEMU ended while waiting for {what}{self._tail()}")
            try:
                if value := condition():
                    return value
            except (Failed, subprocess.TimeoutExpired) as error:
                last = f": {error}"
            time.sleep(pause)
        raise Failed(f"not within {timeout} s: {what}{last}{self._tail()}")

    def wait_api(self, timeout=90):
        self.wait_for("the API answers", lambda: self.osctl("version", "--timeout", "2s"), timeout)

    def wait_service(self, name, timeout=180):
        self.wait_for(f"service {name} is ready", lambda: self.get("services").get(name, {}).get("body", {}).get("ready"), timeout)

    def wait_volumes(self, timeout=120):
        self.wait_for("both volumes are up", lambda: (v := self.get("volumes")) and all(
            v.get(label, {}).get("body", {}).get("ready") for label in ("STELE-STATE", "STELE-DATA")), timeout)

    def import_image(self, tar, timeout=120):
        self.wait_service("containerd")
        self.osctl("image", "import", tar, timeout=timeout)

    def wait_running(self, pod, timeout=240):
        self.wait_for(f"pod {pod} runs", lambda: self.get("pods").get(pod, {}).get("body", {}).get("state") == "Running"
                      and any(c["body"].get("pod") == pod and c["body"].get("state") == "Running"
                              for c in self.get("containers").values()), timeout)

    def serial_text(self):
        return self.machine.serial.read_text(errors="replace") if self.machine.serial.exists() else ""

    def _run(self, command, timeout, check=True):
        done = subprocess.run([str(word) for word in command], env=self._environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=timeout)
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(map(str, command[1:]))}: exit {done.returncode}: {done.stderr.strip()}")
        return done

    def _tail(self):
        lines = self.serial_text().splitlines()[-40:]
        return "\n--- the serial log ends:\n" + "\n".join(lines) if lines else " (nothing on the serial line)"


def items(text):
    """osctl's JSON is one object, a list, or objects one after the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text.rstrip()):
        value, at = decoder.raw_decode(text, at + len(text[at:]) - len(text[at:].lstrip()))
        value = value.get("items", value) if isinstance(value, dict) else value
        found += value if isinstance(value, list) else [value]
    return found


@contextlib.contextmanager
def node(name, **arguments):
    made = Node(name, **arguments)
    made.machine.start()
    try:
        yield made
    finally:
        made.machine.stop()
        made.machine.disk().unlink(missing_ok=True)


def copy_sparse(source, target):
    subprocess.run(["cp", "--sparse=always", str(source), str(target)], check=True)


def probe_image():
    """The archive of the tests' probe, made when it is older than its source."""
    source, program, tar = TOP / "tests/vm/probe.c", OUT / "probe", OUT / "probe.tar"
    if not tar.exists() or tar.stat().st_mtime < source.stat().st_mtime:
        OUT.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-static", "-Os", "-s", "-o", str(program), str(source)], check=True)
        archive.write(tar, PROBE, program, user="0:0")
    return tar
