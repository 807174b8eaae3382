"""Up and down and up again: a node that changes its image by turns, with a pod that writes to /var.

Every second turn is an upgrade and every other a downgrade, each to an image that neither slot holds, so that all of it is written. The
pod's data survives, and no partition grows. `--turns 20` is the size of the claim; figures go to build/vm/alternating.json.
"""

import json
import re
import time

import ext4
import harness
import resets
import usage
import variants

KEPT = 64 << 10  # what the pod adds at each start: probe.c
WAIT = 420
LABELS = ("STELE-STATE", "STELE-DATA")
# What a partition may hold more at the end than once both slots were written, a boot: what the pod added.
MOST_GROWTH = {"ESP": 0, "STELE-STATE": 0, "STELE-DATA": KEPT}
MORE_NAMES = 4096  # of STELE-DATA, in all: a directory's block may be full


def images(built):
    """(version, file) without end: low, high, another low, another high, the first low again; the built image is the first low one."""
    low, high = [built, "0.0.2"], ["9.9.1", "9.9.2"]
    while True:
        for number in (0, 1):
            for version in (high[number], low[1 - number]):
                yield version, harness.IMAGE / "stele.img" if version == built else variants.make("good", version)


def running(node):
    return next(slot["body"] for slot in node.get("slots").values() if slot["body"].get("running"))


def kept(node, least):
    """What the pod said at its last start, once that is the `least`th: (start, damaged, beats before). Until the kubelet has started it
    anew, the log is that of the boot before."""

    def told():
        pod = next((pod for pod in node.get("pods") if pod.startswith("default/keep")), None)
        found = re.findall(r"keep start (\d+), damaged (\d+), beats before (\d+)", node.osctl("logs", pod, "--timeout", "5s")) if pod else []
        return found and int(found[-1][0]) >= least and tuple(map(int, found[-1]))

    return node.wait_for(f"the pod says what it found at start {least}", told, 240)


def at_rest(node):
    """Bytes in use by partition. The machine stands still between two boots: whoever wrote has ended in order."""
    disk = node.machine.disk()
    for label in LABELS:
        assert ext4.problems(disk, label) == []
    return usage.of(disk)


def turn(node, image, version):
    """One change of image; {partition: bytes, and what it took}."""
    used = {}
    began = time.monotonic()
    with resets.counted(node.machine, lambda: used.update(at_rest(node))) as seen:
        node.osctl("upgrade", "--image", image, "--yes", timeout=WAIT)
        took = time.monotonic() - began
        slot = running(node)
    assert (slot["version"], slot["state"]) == (version, "SLOT_STATE_GOOD"), slot
    assert seen.resets == 1, "one reboot a turn: no try was burnt"
    return used | {"version": version, "seconds": round(took, 1)}


def test_up_and_down_by_turns_with_a_pod(request):
    turns = request.config.getoption("--turns")
    pods = [harness.static_pod("keep", "keep", "/host/var/lib/vm-test-keep", host_root=True)]
    figures = []
    with harness.node("alternating", firmware="ovmf", static_pods=pods, lifetime=300 + 200 * turns) as node:
        node.wait_api(120)
        node.import_image(harness.probe_image())
        version = running(node)["version"]
        start, damaged, beats = kept(node, 1)
        assert (start, damaged, beats) == (1, 0, 0)
        for number, (version, image) in zip(range(1, turns + 1), images(version)):
            figures.append(turn(node, image, version))
            start, damaged, beats = kept(node, number + 1)
            figures[-1] |= {"starts": start - 1, "beats": beats}
            assert damaged == 0 and start == number + 1, f"turn {number}: start {start}, {damaged} of the files before are damaged"
            assert beats > 0, "the pod's last writes of the boot before are lost"
            print(json.dumps(figures[-1]), flush=True)
            (harness.OUT / "alternating.json").write_text(json.dumps(figures, indent=1) + "\n")
        node.osctl("shutdown", "--yes")
        assert node.machine.wait_end(60)
        figures.append(at_rest(node) | {"version": version, "starts": turns + 1})
        (harness.OUT / "alternating.json").write_text(json.dumps(figures, indent=1) + "\n")
        print(json.dumps(figures[-1]), flush=True)
        both_written, last = figures[min(1, turns - 1)], figures[-1]
        for label, most in MOST_GROWTH.items():
            grew, boots = last[label] - both_written[label], last["starts"] - both_written["starts"]
            allowed = most * boots + (MORE_NAMES if label == "STELE-DATA" else 0)
            assert grew <= allowed, f"{label} grew by {grew} bytes over {boots} boots; at most {allowed}"
