#!/usr/bin/env python3
"""`./dev run` and `./dev stop`: a node in QEMU in the background, with keys, a config and a demonstration pod.

Everything is below build/run and made anew each time. Every wait has a bound; what did not happen is said with what the
node's console said last and what to look at next.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import debian
import machine

TOP = pathlib.Path(__file__).resolve().parent.parent
OSCTL = TOP / "build/release/bin/osctl"
IMAGE = TOP / "build/image"
RUN = TOP / "build/run"

# Seconds, for TCG on two busy cores; the usual is a tenth.
API, CONTAINERD, KUBELET, POD = 180, 240, 360, 360


class Node:
    def __init__(self, started: machine.Machine):
        self._machine = started
        self.address = f"127.0.0.1:{started.port}"
        self.environment = os.environ | {"OSCTLCONFIG": str(RUN / "osctl.yaml")}

    def osctl(self, *words: str, timeout: float = 60) -> str:
        done = subprocess.run([OSCTL, "-n", self.address, *words], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise debian.Error(f"osctl {' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def wait(self, what: str, seconds: float, holds) -> None:
        began, said, last = time.monotonic(), 0, ""
        while time.monotonic() - began < seconds:
            if not self._machine.running():
                raise self.failure(f"QEMU ended while waiting: {what}", (RUN / "qemu.log").read_text()[-2000:])
            try:
                if holds():
                    print(f"    {what}: {time.monotonic() - began:.1f} s", flush=True)
                    return
                last = ""
            except (debian.Error, subprocess.TimeoutExpired) as error:
                last = str(error)
            if time.monotonic() - began >= said + 10:
                said += 10
                print(f"    {what}: waiting, {said} of {seconds} s", flush=True)
            time.sleep(0.3)
        raise self.failure(f"not within {seconds} s: {what}", last)

    def failure(self, what: str, detail: str) -> debian.Error:
        serial = self._machine.serial.read_text(errors="replace") if self._machine.serial.exists() else ""
        console = "\n".join("      " + line for line in serial.splitlines()[-15:])
        return debian.Error(f"{what}\n{detail}\n    the console's last lines ({self._machine.serial}):\n{console}\n"
                            "    next: ./dev stop, and ./dev run again; or look at the node with the osctl lines of README.md")

    def ready(self, service: str) -> bool:
        return any(item["id"] == service and item["body"].get("ready") for item in self.get("services"))

    def demo_runs(self) -> bool:
        return any(item["body"].get("state") == "Running" for item in self.get("containers")
                   if item["body"].get("pod", "").startswith("default/demo"))

    def get(self, kind: str) -> list[dict]:
        decoder, found, text = json.JSONDecoder(), [], self.osctl("get", kind, "-o", "json").strip()
        while text:  # one object, a list, or objects one after the other
            value, end = decoder.raw_decode(text)
            value = value.get("items", value) if isinstance(value, dict) else value
            found += value if isinstance(value, list) else [value]
            text = text[end:].strip()
        return found


def main() -> int:
    options = parse_options()
    stopped = machine.stop_by_pid_file(RUN)
    if options.stop:
        print("stopped" if stopped else "no node is running")
        return 0
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir(parents=True)
    words = ["gen", "node", "demo", "--san", "127.0.0.1", "--san", "localhost", "--endpoint", f"127.0.0.1:{options.port}",
             "-o", str(RUN),
             "--static-pod", str(TOP / "image/demo/pod.yaml")]
    if options.firmware == "none":
        words += ["--disk", "/dev/vda"]  # empty; with firmware it is the disk the node boots from
    done = subprocess.run([OSCTL, *words], env=os.environ | {"OSCTLCONFIG": str(RUN / "osctl.yaml")}, capture_output=True, text=True)
    if done.returncode != 0:
        raise debian.Error(f"osctl {' '.join(words)}: {done.stderr.strip()}")

    started = machine.Machine(RUN, IMAGE, machine.Options(
        config=RUN / "demo.yaml", firmware=options.firmware, accelerator=options.accel, memory=options.memory, port=options.port))
    began = time.monotonic()
    started.start()
    print(f"==> booting a node, QEMU pid {(RUN / 'pid').read_text().strip()}, console in {started.serial}", flush=True)
    node = Node(started)
    node.wait("the API answers", API, lambda: node.osctl("version", "--timeout", "9s"))
    node.wait("containerd is ready", CONTAINERD, lambda: node.ready("containerd"))
    node.osctl("image", "import", str(IMAGE / "demo.tar"), timeout=120)
    node.wait("the kubelet is ready", KUBELET, lambda: node.ready("kubelet"))
    node.wait("the demonstration pod runs", POD, node.demo_runs)
    print(f"==> up after {time.monotonic() - began:.0f} s\n")
    for words in (["version"], ["get", "services"], ["get", "pods"]):
        print(f"$ osctl {' '.join(words)}\n{node.osctl(*words)}")
    print(f"""How to go on:
  export OSCTLCONFIG={shown(RUN / 'osctl.yaml')} PATH=$PWD/build/release/bin:$PATH
  osctl get containers
  osctl logs -f POD    # as named above: default/demo-<host name>
  osctl logs kubelet
  osctl reboot --wait
  ./dev stop""")
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev run")
    parser.add_argument("--stop", action="store_true")
    parser.add_argument("--accel", choices=["tcg", "kvm"])
    parser.add_argument("--firmware", choices=["none", "ovmf"], default="none")
    parser.add_argument("--memory", type=int, default=1536, metavar="MIB")
    parser.add_argument("--port", type=int, default=50000, help="of the API on 127.0.0.1")
    return parser.parse_args()


def shown(path: pathlib.Path) -> str:
    """Relative to the checkout when one is in it, as README.md writes it."""
    return str(path.relative_to(TOP)) if pathlib.Path.cwd() == TOP else str(path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except debian.Error as error:
        print(f"dev run: {error}", file=sys.stderr)
        sys.exit(1)
