"""Logs through the API."""

import re
import subprocess
import time

import node as node_module


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
