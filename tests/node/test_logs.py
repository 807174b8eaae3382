"""Logs through the API."""

import pathlib
import re
import subprocess
import time

import node as node_module
import pytest


def test_tail_gives_that_many_lines(shared_node):
    lines = shared_node.osctl("logs", "udevd", "--tail", "5").splitlines()
    assert len(lines) == 5
    numbers = [int(re.fullmatch(r"line (\d+)", line).group(1)) for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + 5))


def test_machined_has_a_log_of_its_own(shared_node):
    assert "machined starts" in shared_node.osctl("logs", "machined")


def test_follow_streams_as_lines_appear(shared_node):
    with shared_node.popen_inside(node_module.BIN / "osctl", "logs", "udevd", "-f", "--tail", "1", env=shared_node.environment(),
                                  stdout=subprocess.PIPE, text=True) as follower:
        first = int(follower.stdout.readline().split()[1])
        began = time.monotonic()
        for number in range(first + 1, first + 200):
            assert follower.stdout.readline() == f"line {number}\n"
        assert time.monotonic() - began < 10
        follower.kill()


def test_since_leaves_out_what_is_older(shared_node):
    time.sleep(1.2)
    everything = shared_node.osctl("logs", "udevd").count("\n")
    late = shared_node.osctl("logs", "udevd", "--since", "1s").count("\n")
    assert 0 < late < everything


# ---- A part of a log

def test_grep_is_done_on_the_node(shared_node):
    lines = shared_node.osctl("logs", "udevd", "--grep", "line [0-9]*7$").splitlines()
    assert lines and all(line.endswith("7") for line in lines)
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], numbers[-1] + 1, 10))
    last = shared_node.osctl("logs", "udevd", "-g", "7$", "--tail", "3").splitlines()
    assert len(last) == 3 and all(line.endswith("7") for line in last)
    others = shared_node.osctl("logs", "udevd", "-g", "7$", "--invert", "--tail", "20")
    assert len(others.splitlines()) == 20 and "7\n" not in others


@pytest.mark.parametrize("pattern, reason", [("(", "missing )"), ("(a)\\1", "invalid escape"), ("a" * 513, "more than 512 bytes"),
                                             ("[a-z]{900}x{900}", "too large")])
def test_a_pattern_that_is_none_is_refused(shared_node, pattern, reason):
    done = shared_node.try_osctl("logs", "udevd", "--grep", pattern)
    assert done.returncode == 1 and reason in done.stderr, done.stderr


def test_until_ends_where_since_begins(shared_node):
    time.sleep(2)
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    before = shared_node.osctl("logs", "udevd", "--until", moment).splitlines()
    after = shared_node.osctl("logs", "udevd", "--since", moment, "--tail", "1000000").splitlines()
    assert before and after
    first, last = int(after[0].split()[1]), int(before[-1].split()[1])
    # since begins with the first line whose mark is not before; both look at the same marks.
    assert first == last + 1, (last, first)


def test_several_logs_come_as_one_in_the_order_of_time(shared_node):
    lines = shared_node.osctl("logs", "udevd", "machined", "apid", "--timestamps", "--tail", "500").splitlines()
    names = {line.split("[")[1].split("]")[0] for line in lines}
    assert {"udevd", "machined"} <= names <= {"udevd", "machined", "apid"}
    times = [line.split()[0] for line in lines]
    assert times == sorted(times)
    numbers = [int(line.split()[-1]) for line in lines if "[udevd]" in line]
    assert len(numbers) == 500 and numbers == list(range(numbers[0], numbers[0] + 500))


def test_several_logs_are_followed_over_a_killed_machined(node):
    with node.popen_inside(node_module.BIN / "osctl", "logs", "udevd", "machined", "-f", env=node.environment(),
                           stdout=subprocess.PIPE, text=True) as follower:
        numbers = []
        for _ in range(3):
            goal = len(numbers) + 1000
            while len(numbers) < goal:
                name, _, line = follower.stdout.readline().partition("] ")
                if name == "[udevd":
                    numbers.append(int(line.split()[1]))
            node.kill_machined()
        while len(numbers) < goal + 1000:
            name, _, line = follower.stdout.readline().partition("] ")
            if name == "[udevd":
                numbers.append(int(line.split()[1]))
        follower.kill()
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))  # none lost, none twice


def test_the_log_of_a_pod_that_is_gone(node):
    pods = pathlib.Path(f"/proc/{node.pid}/root/var/log/pods/default_hello_0123abcd-0000")
    (pods / "main").mkdir(parents=True)
    (pods / "main/0.log").write_text("2026-01-31T12:00:00.000000001Z stdout F one\n2026-01-31T12:00:01.000000001Z stderr F two\n")
    node.wait("the log is kept", lambda: node.get("keptlogs"), timeout=30)
    kept = node.get("keptlogs")["0123abcd/main/0"]["body"]
    assert kept["pod"] == "default/hello" and not kept["gone"]
    subprocess.run(["rm", "-r", pods], check=True)
    assert node.get("keptlogs")["0123abcd/main/0"]["body"]["gone"]
    assert node.osctl("logs", "default/hello") == "one\ntwo\n"
    assert node.osctl("logs", "default/hello/main", "-g", "tw", "-f") == "two\n"  # nobody writes any more: it ends
    assert "no log is kept" in node.try_osctl("logs", "default/other").stderr or node.try_osctl("logs", "default/other").returncode != 0


def test_patterns_that_take_long_hold_up_nobody_but_readers(node):
    pods = pathlib.Path(f"/proc/{node.pid}/root/var/log/pods/default_long_0123abcd-0000")
    (pods / "main").mkdir(parents=True)
    (pods / "main/0.log").write_text(("2026-01-31T12:00:00.000000001Z stdout F " + "a" * 100_000 + "\n") * 100)
    node.wait("the log is kept", lambda: node.get("keptlogs"), timeout=30)
    subprocess.run(["rm", "-r", pods], check=True)
    # Seconds for each half megabyte.
    slow = [node.popen_inside(node_module.BIN / "osctl", "logs", "default/long", "-g", "(a?){200}a{200}b", env=node.environment(),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(12)]
    try:
        time.sleep(3)
        took = []
        for number in range(3):
            began = time.monotonic()
            # Answered when one of the node's workers has written it to the disk.
            node.osctl("cert", "revoke", f"abc{number}")
            took.append(time.monotonic() - began)
        assert all(process.poll() is None for process in slow), [process.poll() for process in slow]
        print(f"revoking took {', '.join(f'{seconds:.2f}' for seconds in took)} s beside 12 of them")
        assert max(took) < 5, took
    finally:
        for process in slow:
            process.kill()
            process.wait()


def test_without_a_boot_before_there_is_no_log_of_it(node):
    done = node.try_osctl("logs", "machined", "--previous-boot")
    assert done.returncode == 6 and "no boot before" in done.stderr, done.stderr
