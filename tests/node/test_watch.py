"""Watches and events that go on where they ended."""

import json
import os
import signal
import subprocess
import time

import node as node_module


def watch(node, *words):
    return node.popen_inside(node_module.BIN / "osctl", "get", "services", "-w", "-o", "json", *words, env=node.environment(),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def changes_until(watcher, wanted, most=200):
    """What the watch tells, up to and with what is wanted."""
    seen = []
    for _ in range(most):
        line = watcher.stdout.readline()
        assert line, f"the watch ended: {watcher.stderr.read()}"
        seen.append(json.loads(line))
        if wanted(seen[-1]):
            return seen
    raise AssertionError(f"not among {most} changes; last: {seen[-1]}")


def udevd_is(state):
    return lambda change: change["resource"]["id"] == "udevd" and change["resource"]["body"]["state"] == f"SERVICE_STATE_{state}"


def test_a_watch_goes_on_from_its_cursor(node):
    node.wait("udevd runs", lambda: node.services()["udevd"]["state"] == "SERVICE_STATE_RUNNING")
    with watch(node) as first:
        changes_until(first, udevd_is("RUNNING"))
        node.osctl("service", "stop", "udevd", "--yes")
        cursor = changes_until(first, udevd_is("STOPPED"))[-1]["cursor"]
        first.kill()
    node.osctl("service", "start", "udevd")  # nobody watches
    node.wait("udevd runs", lambda: node.services()["udevd"]["state"] == "SERVICE_STATE_RUNNING")
    with watch(node, "--resume", cursor) as second:
        seen = changes_until(second, udevd_is("RUNNING"))
        second.kill()
    # What did not change is not told; another service may have, on a slow machine.
    after = int(cursor.split(":")[1])
    assert all(int(change["resource"]["version"]) > after for change in seen), (cursor, seen)
    assert {change["resource"]["id"] for change in seen} < set(node.services())
    assert all(change["cursor"] for change in seen)


def test_a_cursor_of_another_start_of_machined_is_too_old(node):
    with watch(node) as first:
        node.osctl("service", "restart", "udevd", "--yes")
        cursor = changes_until(first, lambda change: "cursor" in change)[-1]["cursor"]
        first.kill()
    node.kill_machined()
    done = node.try_osctl("get", "services", "-w", "-o", "json", "--resume", cursor)
    assert done.returncode != 0 and "too old" in done.stderr and "without" in done.stderr, done.stderr
    assert node.try_osctl("get", "services", "-w", "--resume", "nonsense").returncode == 1


def test_a_watch_outlives_machined_and_tells_what_changed(node):
    with watch(node) as watcher:
        seen = changes_until(watcher, udevd_is("RUNNING"))
        node.kill_machined()
        node.osctl("service", "stop", "udevd", "--yes")
        seen += changes_until(watcher, udevd_is("STOPPED"))
        watcher.kill()
    added = [change["resource"]["id"] for change in seen if change["change"] == "ADDED"]
    assert len(added) == len(set(added))  # what was there is not shown twice


def test_labels_select_and_types_without_them_say_so(shared_node):
    done = shared_node.try_osctl("get", "services", "-l", "app=web")
    assert done.returncode == 1 and "services have no labels; these do: pods, containers" in done.stderr, done.stderr
    assert shared_node.osctl("get", "pods", "-l", "app in (web,db),!canary", "-o", "name") == ""
    assert "expected ( at byte 8" in shared_node.try_osctl("get", "pods", "-l", "app in web").stderr


def events(node, *words):
    return [json.loads(line) for line in node.osctl("events", "-o", "json", *words).splitlines()]


def test_events_go_on_by_id_over_kills_of_machined(node):
    first = events(node)
    last = first[-1]
    assert [event["id"] for event in first] == [str(i + 1) for i in range(len(first))]
    for _ in range(3):
        node.osctl("service", "restart", "udevd", "--yes")
        os.kill(node.pids("machined")[0], signal.SIGKILL)
        time.sleep(0.2)
        node.wait_api()
    later = events(node, "--after", last["id"], "--boot", last["bootId"])
    assert [int(event["id"]) for event in later] == list(range(int(last["id"]) + 1, int(last["id"]) + 1 + len(later)))
    assert sum(event["subject"] == "udevd" for event in later) >= 3
    assert len(events(node, "--after", last["id"], "--boot", "another")) >= len(first) + len(later)
    assert len(events(node, "--after", "1000000")) >= len(first)


def test_events_that_are_no_longer_kept_are_counted(node):
    for _ in range(1100 // 2):
        node.osctl("service", "restart", "udevd", "--yes", "--force")
        if len(kept := events(node)) == 1024:
            break
    while int(kept[0]["id"]) < 5:
        node.osctl("service", "restart", "udevd", "--yes", "--force")
        kept = events(node)
    done = node.try_osctl("events", "--after", "2")
    assert done.returncode == 0
    assert "events between are no longer kept" in done.stderr, done.stderr
