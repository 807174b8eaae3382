"""One node from `qemu -kernel` on an empty disk: its pods, its logs, what outlives a kill, a reboot and a power-off.

The tests share two boots and run in this order: each leaves the node as the next one needs it.
"""

import json
import re
import signal
import subprocess
import threading
import time

import pytest

import ext4
import harness

END_SECONDS = 30  # a reboot or power-off, with a stubborn pod and a busy mount
BACK_SECONDS = 2  # machined or apid after a kill
KILLS = 20
TASKS = "/var/lib/containerd/io.containerd.runtime.v2.task/k8s.io"  # a folder of each container, which outlives a boot
REDIRECTS = "/proc/sys/net/ipv6/conf/eth0/accept_redirects"  # which a device takes over once, when it is made


@pytest.fixture(scope="module")
def node():
    pods = [harness.static_pod("tick", "tick", 20),
            harness.static_pod("write", "write", "/host", host_root=True),
            harness.static_pod("show", "show", REDIRECTS),
            harness.static_pod("stubborn", "stubborn", "/scratch", tmpfs="/scratch")]
    with harness.node("node", static_pods=pods) as made:
        yield made


def pod_id(node, name):
    return next(i for i in node.get("pods") if i.startswith(f"default/{name}"))


def wait_pod(node, name, timeout=240):
    return node.wait_for(f"pod {name} runs", lambda: any(
        i.startswith(f"default/{name}") and p["body"].get("state") == "Running" for i, p in node.get("pods").items()) and any(
        c["body"].get("pod", "").startswith(f"default/{name}") and c["body"].get("state") == "Running"
        for c in node.get("containers").values()), timeout)


def pid_of(node, service):
    """0 while machined, just started, does not list it yet."""
    return node.get("services").get(service, {}).get("body", {}).get("pid") or 0


def pids(node):
    services = node.get("services")
    found = {name: services[name]["body"].get("pid") for name in ("containerd", "kubelet")}
    found |= {c["body"]["pod"]: c["body"].get("pid") for c in node.get("containers").values() if c["body"].get("state") == "Running"}
    assert all(found.values()), found
    return found


def tasks(node):
    """The containers that containerd has a folder of."""
    return {entry["path"] for entry in json.loads(node.osctl("ls", TASKS, "-o", "json"))["items"]}


def written(node):
    """{directory: result} as the pod `write` told it."""
    text = node.wait_for("the write pod is done", lambda: t if "write done" in (t := node.osctl("logs", pod_id(node, "write"))) else None, 60)
    text = text[text.rindex("write / "):]
    return dict(re.findall(r"^write (/\S*) (.+)$", text, re.M))


def test_the_api_answers_and_pods_run(node):
    node.wait_api()
    node.import_image(harness.probe_image())
    node.wait_service("kubelet")
    for name in ("tick", "write", "stubborn"):
        wait_pod(node, name)
    version = node.osctl("version")
    assert "kubelet" in version and "containerd" in version


def test_logs_of_a_container_stream(node):
    with node.popen("logs", "-f", pod_id(node, "tick"), stdout=subprocess.PIPE, text=True) as follower:
        try:
            numbers = [int(re.search(r"tick (\d+)", follower.stdout.readline())[1]) for _ in range(200)]
        finally:
            follower.send_signal(signal.SIGINT)
    assert numbers == list(range(numbers[0], numbers[0] + 200))


def test_network_devices_begin_with_the_hardening(node):
    wait_pod(node, "show")
    assert f"show {REDIRECTS}: 0\n" in node.osctl("logs", pod_id(node, "show"))


def test_phases_tell_where_the_boot_time_went(node):
    phases = node.get("phases")
    assert {p["body"]["owner"] for p in phases.values()} >= {"init", "machined"}
    assert all(p["body"]["state"].endswith(("DONE", "SKIPPED")) for p in phases.values()), phases


def test_the_root_is_read_only_and_etc_is_not(node):
    results = written(node)
    for directory in ("/", "/usr", "/usr/bin", "/usr/lib/stele"):
        assert results[directory] == "EROFS", results
    for directory in ("/etc", "/var", "/var/lib", "/run", "/tmp"):
        assert results[directory] == "ok", results


@pytest.mark.parametrize("victim", ["machined", "apid"])
def test_kills_are_not_noticed(node, victim):
    """Kills one of the daemons 20 times while a container's log is followed."""
    before = pids(node)
    lines = []
    with node.popen("logs", "-f", "--tail", "1", pod_id(node, "tick"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as follower:
        reader = threading.Thread(target=lambda: lines.extend(follower.stdout))
        reader.start()
        slow = []
        try:
            node.wait_for("the first line", lambda: lines, 20)
            for _ in range(KILLS):
                old = node.wait_for(f"{victim} runs", lambda: pid_of(node, victim), 30)
                node.try_osctl("service", "restart", victim, "--force", "--yes")
                began = time.monotonic()
                node.wait_for(f"{victim} is back", lambda: pid_of(node, victim) not in (0, old), 30)
                if (took := time.monotonic() - began) > BACK_SECONDS:
                    slow.append(round(took, 2))
            count = len(lines)
            node.wait_for("lines after the last kill", lambda: len(lines) > count + 50, 60)
        finally:
            follower.send_signal(signal.SIGINT)
            reader.join(20)
    numbers = [int(re.search(r"tick (\d+)", line)[1]) for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a line was lost or came twice"
    assert pids(node) == before
    assert not slow, f"back after {slow} s; at most {BACK_SECONDS}"


def test_containerd_alone_is_restarted(node):
    before, folders = pids(node), tasks(node)
    node.osctl("service", "restart", "containerd", "--yes")
    node.wait_for("another containerd", lambda: pid_of(node, "containerd") not in (0, before["containerd"]), 60)
    node.wait_service("containerd")
    after = node.wait_for("its containers", lambda: p if len(p := pids(node)) == len(before) else None, 60)
    assert after | {"containerd": before["containerd"]} == before, "pods are as they were"
    assert len(folders) >= 8 and tasks(node) == folders


def test_reboot_ends_in_time_and_leaves_etc_behind(node):
    ours = tasks(node)
    boot = node.osctl("version", "-o", "json")
    with node.machine.events() as wait:
        node.osctl("reboot", "--yes")
        took = wait("RESET", END_SECONDS + 30)
    assert took <= END_SECONDS, f"the machine was reset after {took:.1f} s"
    node.wait_for("another boot", lambda: (v := node.osctl("version", "-o", "json", "--timeout", "2s")) != boot and v, 120)
    node.wait_service("kubelet")
    wait_pod(node, "write")
    results = node.wait_for("the write pod ran in this boot", lambda: r if "existed" in (r := written(node))["/var"] else None, 120)
    assert results["/etc"] == "ok", "what was written to /etc came back"
    assert results["/var"] == "ok existed"
    assert results["/usr"] == "EROFS"
    assert not ours & tasks(node), "containers of the boot before are forgotten"


def test_shutdown_ends_in_time_with_clean_file_systems(node):
    wait_pod(node, "stubborn")
    began = time.monotonic()
    node.osctl("shutdown", "--yes")
    assert node.machine.wait_end(END_SECONDS + 30), "the machine is still on"
    took = time.monotonic() - began
    for label in ("STELE-STATE", "STELE-DATA"):
        assert ext4.problems(node.machine.disk(), label) == []
    assert took <= END_SECONDS, f"the machine was off after {took:.1f} s"
