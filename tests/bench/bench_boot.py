"""Boot: from the kernel's start to the API, containerd, the kubelet and a pod, and where the time went.

The guest's clock counts from the kernel's start; the host's from the start of QEMU.
"""

import statistics
import time

from run import IMAGE_HINT, TOP, Missing

RUNS = 3


def seconds(text):
    return float(str(text or "0s").rstrip("s"))


def run(bench):
    if not (TOP / "build/image/vmlinuz").exists():
        raise Missing(IMAGE_HINT)
    import harness
    api_guest, api_host, kernel, table = [], [], [], []
    for number in range(RUNS):
        bench.step(f"boot {number + 1} of {RUNS}, qemu -kernel")
        with harness.node("bench-boot", static_pods=[harness.static_pod("tick", "tick", 1000)]) as node:
            began = time.monotonic()
            node.wait_for("the API", lambda: node.osctl("version", "--timeout", "1s"), 120)
            api_host.append(time.monotonic() - began)
            phases = node.get("phases")
            apis = [p["body"] for i, p in phases.items() if i.endswith("-api")]
            api_guest.append(seconds(apis[0].get("start")) + seconds(apis[0].get("duration")))
            kernel.append(min(seconds(phase["body"].get("start")) for phase in phases.values() if phase["body"].get("start")))
            if number == RUNS - 1:
                node.import_image(harness.probe_image())
                node.wait_service("kubelet")
                containerd_kubelet = time.monotonic() - began
                node.wait_for("the pod", lambda: any(c["body"].get("state") == "Running" for c in node.get("containers").values()), 240)
                bench.row("QEMU start to kubelet ready", containerd_kubelet, "s")
                bench.row("QEMU start to static pod running", time.monotonic() - began, "s", note="its image imported over the API")
                table = sorted(node.get("phases").items())
    bench.row("kernel start to /init", statistics.median(kernel), "s", note=f"Debian's kernel alone: how fast this host is; {shown_all(kernel)}")
    bench.row("kernel start to API (phase api done)", statistics.median(api_guest), "s", against="kernel start to /init",
              ratio=statistics.median(api / before for api, before in zip(api_guest, kernel)), reach="≤ 4",
              note=f"median of {RUNS}; {shown_all(api_guest)}")
    bench.row("QEMU start to first answered osctl version", statistics.median(api_host), "s", note=f"median of {RUNS}; {shown_all(api_host)}")
    for name, phase in table:
        body = phase["body"]
        bench.row(f"phase {name} ({body.get('owner')})", seconds(body.get("duration")), "s", note=f"began at {seconds(body.get('start')):.2f} s")


def shown_all(values):
    return " ".join(f"{value:.2f}" for value in values)
