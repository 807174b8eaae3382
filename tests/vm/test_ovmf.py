"""From power-on: OVMF, systemd-boot, the UKI on the disk image, until a static pod runs and its log streams."""

import re
import signal
import subprocess

import harness


def test_from_power_on_to_a_running_pod():
    with harness.node("ovmf", firmware="ovmf", static_pods=[harness.static_pod("tick", "tick", 100)]) as node:
        node.wait_api(120)
        node.import_image(harness.probe_image())
        node.wait_service("kubelet")
        node.wait_for("pod tick runs", lambda: any(
            c["body"].get("pod", "").startswith("default/tick") and c["body"].get("state") == "Running" for c in node.get("containers").values()), 240)
        pod = next(i for i in node.get("pods") if i.startswith("default/tick"))
        with node.popen("logs", "-f", pod, stdout=subprocess.PIPE, text=True) as follower:
            try:
                lines = [follower.stdout.readline() for _ in range(20)]
            finally:
                follower.send_signal(signal.SIGINT)
        assert [int(re.search(r"tick (\d+)", line)[1]) for line in lines] == list(range(1, 21))
        node.osctl("shutdown", "--yes")
        assert node.machine.wait_end(60)
