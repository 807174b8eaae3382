"""Memory: what init, machined and apid keep of an idle node's memory (PSS).

In a VM with a pod running nobody but machined sees init and the daemons: pods have process ids of their own. So the API tells it, by
one watch that is open all the time, which keeps machined and apid awake. In namespaces this program looks by itself, and nobody
asks the node anything.
"""

import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

from run import IMAGE_HINT, TOP, Missing

IDLE_SECONDS = 60
ALONE_SECONDS = 40  # machined gives up what its start needed after 20
LOOKS, LOOK_SECONDS = 9, 3.7
OURS = (("init", "≤ 1"), ("machined", None), ("apid", None))


def run(bench):
    if not (TOP / "build/image/vmlinuz").exists():
        raise Missing(IMAGE_HINT)
    in_namespaces(bench)
    in_a_machine(bench)


def in_namespaces(bench):
    sys.path.insert(0, str(TOP / "tests/node"))
    import conftest
    import node as node_module
    if conftest.MISSING is not None:
        raise Missing(f"this machine lacks {conftest.MISSING}")
    with node_module.Node(conftest.folder("bench-memory")) as node:
        node.wait_api()
        bench.step(f"in namespaces: left alone for {ALONE_SECONDS} s, then {LOOKS} looks")
        time.sleep(ALONE_SECONDS)
        looks = []
        for _ in range(LOOKS):
            time.sleep(LOOK_SECONDS)
            looks.append({name: rollup(pid) for name, pid in daemons(node.pid).items()})
    for name in looks[0]:
        pss, rss = (statistics.median(look[name][i] for look in looks) for i in (0, 1))
        bench.row(f"in namespaces: {name} PSS", pss, "MB", note=f"RSS {rss:.2f} MB")
    totals = [sum(pss for pss, _ in look.values()) for look in looks]
    bench.row("in namespaces: all three PSS", statistics.median(totals), "MB", reach="≤ 15",
              note=f"nobody asks; {min(totals):.1f} to {max(totals):.1f}: machined tries apid's handshake now and then")


def daemons(init):
    """{name: pid} of init and of those children of its that are ours."""
    children = pathlib.Path(f"/proc/{init}/task/{init}/children").read_text().split()
    commands = {pid: pathlib.Path(f"/proc/{pid}/comm").read_text().strip() for pid in children}
    return {"init": init} | {name: pid for pid, name in commands.items() if name in ("machined", "apid")}


def rollup(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return tuple(int(re.search(rf"^{key}:\s+(\d+) kB", text, re.M).group(1)) / 1000 for key in ("Pss", "Rss"))


def in_a_machine(bench):
    import harness
    with harness.node("bench-memory", static_pods=[harness.static_pod("tick", "tick", 1000)]) as node:
        node.wait_api()
        node.import_image(harness.probe_image())
        node.wait_service("kubelet")
        node.wait_for("the pod", lambda: any(c["body"].get("state") == "Running" for c in node.get("containers").values()), 240)
        bench.step(f"idle for {IDLE_SECONDS} s")
        watch = node.popen("get", "processes", "-o", "json", "-w", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(IDLE_SECONDS)
        watch.terminate()
        told, complaint = watch.communicate(timeout=10)
    last = {}
    for change in harness.items(told):
        process = change["resource"]["body"]
        last[process.get("command", "").split(" ")[0].rsplit("/", 1)[-1]] = process
    total = 0.0
    for name, reach in OURS:
        if name not in last:
            raise RuntimeError(f"the watch told of no process {name}: {complaint.strip() or json.dumps(sorted(last))}")
        pss, rss = megabytes(last[name])
        total += pss
        bench.row(f"{name} PSS", pss, "MB", note=f"RSS {rss:.2f} MB")
        if reach:
            bench.row(f"{name} RSS", rss, "MB", reach=reach)
    bench.row("init + machined + apid PSS", total, "MB", reach="≤ 15", note=f"after {IDLE_SECONDS} s, with a watch open")
    for name in ("containerd", "kubelet"):
        if name in last:
            bench.row(f"{name} PSS", megabytes(last[name])[0], "MB")


def megabytes(process):
    return int(process.get("proportionalBytes", 0)) / 1e6, int(process.get("residentBytes", 0)) / 1e6
