"""Services as an operator sees and handles them."""

import time

import pytest


def test_lists_services_with_their_state(shared_node):
    services = shared_node.wait("apid is ready", lambda: (s := shared_node.services())["apid"].get("ready") and s)
    assert services["machined"]["state"] == "SERVICE_STATE_RUNNING"
    assert services["apid"]["pid"] > 0
    assert services["udevd"]["state"] == "SERVICE_STATE_RUNNING"


def test_a_program_that_is_missing_says_so(shared_node):
    trigger = shared_node.wait("udev-trigger was tried", lambda: (s := shared_node.services()["udev-trigger"]).get("lastExit") and s)
    assert trigger["lastExit"] == "start failed: execute: No such file or directory"


def test_version_names_everything(shared_node):
    version = shared_node.osctl("version")
    assert "stele" in version.lower()


def test_unknown_names_are_refused_in_one_line(shared_node):
    for words in (("service", "stop", "unicorn"), ("get", "unicorns"), ("logs", "unicorn")):
        done = shared_node.try_osctl(*words)
        assert done.returncode != 0
        assert len(done.stderr.strip().splitlines()) <= 2, done.stderr


def test_the_api_cannot_be_stopped_but_restarted(node):
    done = node.try_osctl("service", "stop", "apid")
    assert done.returncode != 0 and "managed" in done.stderr, done.stderr
    before = node.services()["apid"]["pid"]
    node.try_osctl("service", "restart", "apid")
    node.wait("apid has another pid", lambda: node.services()["apid"].get("pid", before) != before)


@pytest.mark.parametrize("daemon", ["apid", "machined"])
def test_a_forced_restart_of_a_daemon_is_a_kill(node, daemon):
    """An orderly one lets open streams finish; whoever says --force has no time for that."""
    before = node.services()[daemon]["pid"]
    node.osctl("service", "restart", daemon, "--force", "--yes")
    after = node.wait(f"{daemon} has another pid", lambda: (s := node.services().get(daemon, {})).get("pid", before) != before and s)
    assert after["lastExit"] == "signal 9 (KILL)"


def test_stop_start_restart(node):
    first = node.services()["udevd"]["pid"]
    node.osctl("service", "restart", "udevd")
    second = node.services()["udevd"]["pid"]
    assert second != first
    node.osctl("service", "stop", "udevd")
    assert node.services()["udevd"]["state"] == "SERVICE_STATE_STOPPED"
    # It stays so when machined is killed.
    kill(node, "machined")
    node.wait_api()
    time.sleep(1)
    assert node.services()["udevd"]["state"] == "SERVICE_STATE_STOPPED"
    node.osctl("service", "start", "udevd")
    assert node.services()["udevd"]["state"] == "SERVICE_STATE_RUNNING"


def test_types_processes_and_mounts(shared_node):
    types = shared_node.get("types")
    for wanted in ("services", "phases", "processes", "mounts", "addresses", "containers", "pods"):
        assert wanted in types
    commands = [item["body"].get("command", "") for item in shared_node.get("processes").values()]
    assert any("machined" in command for command in commands)
    targets = [item["body"]["target"] for item in shared_node.get("mounts").values()]
    assert "/" in targets and "/proc" in targets


def test_phases_tell_who_and_when(shared_node):
    phases = shared_node.get("phases")
    owners = {item["body"]["owner"] for item in phases.values()}
    assert owners == {"init", "machined"}
    api = shared_node.wait("phase api is done",
                           lambda: next(i["body"] for k, i in shared_node.get("phases").items() if k.endswith("-api"))["state"]
                           == "PHASE_STATE_DONE")
    assert api


def kill(node, program):
    import os
    import signal

    for pid in node.pids(program):
        os.kill(pid, signal.SIGKILL)
