"""Memory: what init, machined and apid keep of an idle node's memory (PSS), in a VM with a pod running."""

import time

from run import IMAGE_HINT, TOP, Missing

IDLE_SECONDS = 30


def run(bench):
    if not (TOP / "build/image/vmlinuz").exists():
        raise Missing(IMAGE_HINT)
    import harness
    with harness.node("bench-memory", static_pods=[harness.static_pod("tick", "tick", 1000)]) as node:
        node.wait_api()
        node.import_image(harness.probe_image())
        node.wait_service("kubelet")
        bench.step(f"idle for {IDLE_SECONDS} s")
        time.sleep(IDLE_SECONDS)
        by_name = {}
        for process in node.get("processes").values():
            name = process["body"].get("command", "").split(" ")[0].rsplit("/", 1)[-1]
            by_name.setdefault(name, process["body"])
        total = 0.0
        for name, reach in (("init", "≤ 1"), ("machined", None), ("apid", None)):
            body = by_name["init" if name == "init" else name]
            pss, rss = int(body.get("proportionalBytes", 0)) / 1e6, int(body.get("residentBytes", 0)) / 1e6
            total += pss
            bench.row(f"{name} PSS", pss, "MB", note=f"RSS {rss:.2f} MB")
            if reach:
                bench.row(f"{name} RSS", rss, "MB", reach=reach)
        bench.row("init + machined + apid PSS", total, "MB", reach="≤ 15")
        for name in ("containerd", "kubelet"):
            if name in by_name:
                bench.row(f"{name} PSS", int(by_name[name].get("proportionalBytes", 0)) / 1e6, "MB")
