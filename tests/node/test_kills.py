"""machined and apid killed again and again while a log is followed: nothing is lost, nothing else restarts."""

import os
import re
import signal
import subprocess
import time

import node as node_module

KILLS = 20
BACK_WITHIN_S = 2.0


def other_pids(node):
    return {name: body.get("pid") for name, body in node.services().items()
            if name not in ("machined", "apid") and body.get("state") == "SERVICE_STATE_RUNNING"}


def kill_and_wait_back(node, program):
    """Kills every process of the name; seconds until another one runs and the API answers."""
    before = node.pids(program)
    assert before, f"no {program}"
    began = time.monotonic()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    node.wait(f"another {program}", lambda: set(node.pids(program)) - set(before), timeout=10, pause=0.02)
    node.wait("the API answers again", lambda: node.osctl("version", "--timeout", "5s"), timeout=10, pause=0.02)
    return time.monotonic() - began


def test_followed_log_survives_kills_of_machined_and_apid(node):
    follower = node.popen_inside(node_module.BIN / "osctl", "logs", "udevd", "-f", env=node.environment(),
                                 stdout=open(node.folder / "followed", "wb"), stderr=open(node.folder / "follower.err", "wb"))
    try:
        pids = node.wait("udevd runs", lambda: (p := other_pids(node)).get("udevd") and p)
        times = {}
        for program in ("machined", "apid"):
            times[program] = [kill_and_wait_back(node, program) for _ in range(KILLS)]
        assert other_pids(node) == pids, "something else was restarted"
        last = int(re.findall(rb"line (\d+)\n", node.osctl("logs", "udevd", "--tail", "1").encode())[-1])
        node.wait("the follower has caught up",
                  lambda: f"line {last}\n".encode() in (node.folder / "followed").read_bytes()[-100_000:], timeout=20)
    finally:
        follower.send_signal(signal.SIGTERM)
        follower.wait(timeout=10)
    numbers = [int(n) for n in re.findall(rb"line (\d+)\n", (node.folder / "followed").read_bytes())]
    assert numbers[0] == 1
    assert numbers == list(range(1, numbers[-1] + 1)), "lines lost, doubled or out of order"
    print({name: f"max {max(values):.2f} s, mean {sum(values) / len(values):.2f} s" for name, values in times.items()})
    for name, values in times.items():
        assert max(values) <= BACK_WITHIN_S, f"{name} was back after {max(values):.2f} s"


def test_events_go_on_after_a_kill(node):
    before = node.osctl("events").strip().splitlines()
    kill_and_wait_back(node, "machined")
    after = node.osctl("events").strip().splitlines()
    assert after[1:len(before)] == before[1:]
    assert len(after) >= len(before)
