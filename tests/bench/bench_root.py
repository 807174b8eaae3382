"""The root in a slot against the root in memory: the same image by the same firmware, from a disk and from the ISO.

Two machines with the same configuration, containerd and kubelet, and STELE-STATE and STELE-DATA on the disk. They boot by turns, never
at the same time, each once before that counts: then their file systems are made.
"""

import contextlib
import statistics
import time

from bench_boot import seconds, shown_all
from run import IMAGE_HINT, TOP, Missing

RUNS = 3
SETTLE_SECONDS = 15  # from the kubelet's readiness: a starting one still grows
LOOKS, LOOK_SECONDS = 5, 1
SLOT, MEMORY = "a slot", "memory"
FIGURES = (("used", "memory used (MemTotal - MemAvailable)", "MB"), ("shared", "of it shared memory and tmpfs", "MB"),
           ("kernel", "kernel start to /init", "s"), ("api", "kernel start to API", "s"), ("power_on", "QEMU start to API", "s"))


def run(bench):
    if not (TOP / "build/image/stele.iso").exists():
        raise Missing(IMAGE_HINT)
    import harness
    nodes = {SLOT: harness.Node("bench-root-slot", firmware="ovmf"),
             MEMORY: harness.Node("bench-root-memory", firmware="ovmf", medium="iso", medium_first=True)}
    none, ours = "storage: {}\n  # disk: /dev/vda\n", "storage:\n  disk: /dev/vda\n"
    text = nodes[MEMORY].config.read_text()
    assert none in text
    nodes[MEMORY].config.write_text(text.replace(none, ours))
    found = {kind: [] for kind in nodes}
    try:
        for kind, node in nodes.items():
            bench.step(f"the first boot with the root in {kind}")
            with booted(node):
                node.wait_volumes()
                assert bool(node.boots()[-1].get("slot")) == (kind == SLOT)
        for number in range(1, RUNS + 1):
            for kind, node in nodes.items():
                bench.step(f"boot {number} of {RUNS} with the root in {kind}")
                with booted(node) as power_on:
                    found[kind].append(look(node) | {"power_on": power_on})
    finally:
        for node in nodes.values():
            node.machine.stop()
            node.machine.disk().unlink(missing_ok=True)
    for figure, what, unit in FIGURES:
        slot, memory = ([look[figure] for look in found[kind]] for kind in (SLOT, MEMORY))
        bench.row(f"{what}, root in {SLOT}", statistics.median(slot), unit, against=f"in {MEMORY}",
                  ratio=statistics.median(ours / theirs for ours, theirs in zip(slot, memory)), note=f"median of {RUNS}: {shown_all(slot)}")
        bench.row(f"{what}, root in {MEMORY}", statistics.median(memory), unit, note=f"median of {RUNS}: {shown_all(memory)}")


@contextlib.contextmanager
def booted(node):
    """One life of the machine, with an orderly end: the next boot has no journal to replay. Yields seconds from its start to the API."""
    began = time.monotonic()
    node.machine.start()
    node.wait_api(240)
    yield time.monotonic() - began
    node.osctl("shutdown", "--yes")
    if not node.machine.wait_end(60):
        raise RuntimeError("the machine is still on a minute after its shutdown")


def look(node):
    for service in ("containerd", "kubelet"):
        node.wait_service(service, 240)
    time.sleep(SETTLE_SECONDS)
    looks = []
    for _ in range(LOOKS):
        looks.append(node.get("memory")["node"]["body"])
        time.sleep(LOOK_SECONDS)
    phases = {name: phase["body"] for name, phase in node.get("phases").items()}
    [api] = [phase for name, phase in phases.items() if name.endswith("-api")]
    return {"used": statistics.median(int(memory["totalBytes"]) - int(memory["availableBytes"]) for memory in looks) / 1e6,
            "shared": statistics.median(int(memory["sharedBytes"]) for memory in looks) / 1e6,
            "kernel": min(seconds(phase["start"]) for phase in phases.values() if phase.get("start")),
            "api": seconds(api.get("start")) + seconds(api.get("duration"))}
