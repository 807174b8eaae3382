"""osctl top and dashboard on a terminal, against the real daemons."""

import json
import os
import re
import signal
import subprocess
import time

import node as node_module
import pytest
from terminal import Terminal

UP, DOWN, LEFT, PAGE_UP = "\x1b[A", "\x1b[B", "\x1b[D", "\x1b[5~"
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def number(size):
    value, unit = re.fullmatch(r"([0-9.]+)(\w+)", size).groups()
    return float(value) * UNITS[unit]


def rows(text):
    """The processes on top's screen: pid, cpu, pss, rss, state, cgroup, command."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if "COMMAND" in line) + 1
    return [line.split(None, 6) for line in lines[first:-1] if line.strip()]


def test_top_shows_what_runs(shared_node):
    with Terminal(shared_node, "top") as top:
        top.wait("two readings", lambda text: "CPU%v" in text and re.search(r"cpu [0-9.]+% of \d", text))
        shown = {row[6]: row for row in rows(top.text())}
        told = {item["body"]["command"]: (pid, item["body"]) for pid, item in shared_node.get("processes").items()}
        for program in ("/usr/lib/stele/machined", "/usr/lib/stele/apid"):
            row = next(row for command, row in shown.items() if command.startswith(program))
            pid, body = next(entry for command, entry in told.items() if command.startswith(program))
            assert row[0] == pid
            assert number(row[2]) == pytest.approx(int(body["proportionalBytes"]), rel=0.3)
            assert row[5] == body["cgroup"][:len(row[5])]
        top.press("m")
        top.wait_for("PSSv")
        sizes = [number(row[2]) for row in rows(top.text())]
        assert len(sizes) > 2 and sizes == sorted(sizes, reverse=True)
        top.press("p")
        top.wait_for("PIDv")
        pids = [int(row[0]) for row in rows(top.text())]
        assert pids[0] == 1 and pids == sorted(pids)
        top.press(DOWN)
        top.wait("the first one is gone", lambda text: int(rows(text)[0][0]) == pids[1])
        top.press("c")
        top.wait_for("CPU%v")
        top.press("q")
        assert top.wait_end() == 0
        top.assert_restored()


def test_top_sees_who_is_busy(node):
    with Terminal(node, "top") as top:
        top.wait_for("machined")
        with node.popen_inside(node_module.BIN / "osctl", "get", "sysctls", "-w", env=node.environment(),
                               stdout=subprocess.DEVNULL) as reader:
            # A reading of a thousand files every two seconds: machined is the busiest.
            top.wait("machined is at the top", lambda text: rows(text) and "machined" in rows(text)[0][6] and float(rows(text)[0][1]) > 0.4)
            reader.kill()
        top.press("q")
        assert top.wait_end() == 0


def test_another_size(shared_node):
    with Terminal(shared_node, "dashboard") as screen:
        screen.wait_for("PRESSURE       10s")
        for columns, count in ((80, 24), (60, 12), (150, 50), (20, 5), (120, 35)):
            screen.size(columns, count)
            screen.wait(f"the keys in row {count}", lambda _: screen.lines()[count - 1].startswith(" q quit"))
            screen.wait("the node in row 1", lambda _: screen.lines()[0].startswith(" stele ("))
            assert max(map(len, screen.lines())) <= columns
        screen.wait_for("PRESSURE       10s")
        screen.press("q")
        assert screen.wait_end() == 0
        screen.assert_restored()


def test_the_dashboard_shows_the_node(node):
    services = node.services()
    with Terminal(node, "dashboard") as screen:
        text = screen.wait("everything", lambda text: "[events]" in text and re.search(r"\bcpu +[0-9.]+ +[0-9.]+ +[0-9.]+", text)
                           and all(re.search(rf"^[ >]{name} ", text, re.M) for name in services))
        version = json.loads(node.osctl("version", "-o", "json"))["nodes"][0]
        screen.wait("the version", lambda text: all(version[key] in text.splitlines()[0] for key in ("stele", "kernel", "hostname")))
        # Events as they happen.
        node.osctl("service", "restart", "udevd", "--yes")
        screen.wait("the restart is told", lambda text: "service/udevd" in text.split("[events]")[1])
        # Another service's log, as `osctl logs` has it.
        names = sorted(services)
        screen.press(DOWN * names.index("udevd"))
        screen.wait_for("[log of udevd]")
        last = node.osctl("logs", "udevd", "--tail", "1").strip()
        screen.wait("udevd's log", lambda text: last.split()[0] in text.split("[log of udevd]")[1])
        screen.press(PAGE_UP + LEFT)
        screen.wait_for("[events]")
        screen.press("\t\t")
        screen.wait_for("[kernel]")
        screen.press("\x1b")
        assert screen.wait_end() == 0
        screen.assert_restored()


def test_a_node_that_falls_silent_and_returns(node):
    with Terminal(node, "dashboard") as screen:
        screen.wait("it runs", lambda text: "[events]" in text and ">apid" in text)
        apid = node.pids("apid")[0]
        os.kill(apid, signal.SIGSTOP)
        text = screen.wait_for("no answer for ")
        assert "silent" in text and ">apid" in text  # what was is still there
        os.kill(apid, signal.SIGCONT)
        screen.wait("it answers", lambda text: "no answer for " not in text)
        # Killed, both.
        for name in ("apid", "machined"):
            os.kill(node.pids(name)[0], signal.SIGKILL)
        node.wait("another apid", lambda: node.pids("apid") not in ([], [apid]))
        node.wait_api()
        screen.wait("the restart of apid is seen", lambda text: "no answer" not in text and
                    re.search(r"^.apid +Running +\S+ +[1-9]", text, re.M))
        # It can be left while the node is silent, at once.
        apid = node.pids("apid")[0]
        os.kill(apid, signal.SIGSTOP)
        screen.wait_for("no answer for ")
        began = time.monotonic()
        screen.press("q")
        assert screen.wait_end() == 0 and time.monotonic() - began < 5
        screen.assert_restored()
        os.kill(apid, signal.SIGCONT)


def test_a_screen_is_a_few_calls(node):
    """However long it is looked at: each call is a line in the audit."""
    calls = lambda: node.osctl("logs", "apid").count("audit ")
    with Terminal(node, "dashboard") as screen:
        # Every watch has begun: what each tells is there.
        screen.wait("everything", lambda text: re.search(r"cpu [0-9.]+% of", text) and
                    re.search(r"\bcpu +[0-9.]+ +[0-9.]+ +[0-9.]+", text) and ">apid" in text and "service/apid" in text)
        before, until = calls(), time.monotonic() + 6
        while time.monotonic() < until:
            screen.read()
        assert calls() - before <= 3  # of which one is this test's
        screen.press("q")
        assert screen.wait_end() == 0


@pytest.mark.parametrize("command", ["top", "dashboard"])
@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "SIGABRT", "Ctrl-C"])
def test_the_terminal_is_given_back(shared_node, command, how):
    with Terminal(shared_node, command) as screen:
        screen.wait_for("q quit")
        assert screen.other_screen and not screen.cursor_shown
        assert screen.before[3] != 0
        if how == "Ctrl-C":
            screen.press("\x03")
            expected = signal.SIGINT
        else:
            expected = signal.Signals[how]
            os.kill(screen.pid, expected)
        status = screen.wait_end()
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == expected
        screen.assert_restored()


def test_a_terminal_that_is_closed_ends_it(shared_node):
    with Terminal(shared_node, "top") as screen:
        screen.wait_for("q quit")
        os.close(screen.controller)
        screen.controller = -1
        until = time.monotonic() + 30
        while not screen.ended():
            assert time.monotonic() < until
            time.sleep(0.05)


def test_little_is_sent_where_little_changes(shared_node):
    """Over a slow line: a picture is sent once, then the rows that changed."""
    with Terminal(shared_node, "dashboard") as screen:
        screen.wait("two readings", lambda text: re.search(r"cpu [0-9.]+% of", text))
        before, until = screen.written, time.monotonic() + 5
        while time.monotonic() < until:
            screen.read()
        assert screen.written - before < 20 * 35 * 120 / 4  # not one whole picture in four
        screen.press("q")
        assert screen.wait_end() == 0


def test_no_color(shared_node):
    for value, coloured in (("1", False), ("", True)):
        with Terminal(shared_node, "dashboard", environment={"NO_COLOR": value}) as screen:
            screen.wait_for("Running")
            assert ("32" in screen.styles) == coloured
            screen.press("q")
            assert screen.wait_end() == 0


def test_top_once_and_off_a_terminal(shared_node):
    with Terminal(shared_node, "top", "--once", "--interval", "300ms") as screen:
        assert screen.wait_end() == 0
        assert not screen.styles and "PID" in screen.text()
    text = shared_node.osctl("top", "--interval", "300ms", "--sort", "pid")
    lines = text.splitlines()
    assert lines[0].split() == ["PID", "CPU%", "PSS", "RSS", "S", "CGROUP", "COMMAND"]
    pids = [int(line.split()[0]) for line in lines[1:]]
    assert pids[0] == 1 and pids == sorted(pids)
    assert "\x1b" not in text
    done = shared_node.try_osctl("dashboard")
    assert done.returncode == 2 and "needs a terminal" in done.stderr
