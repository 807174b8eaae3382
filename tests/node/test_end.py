"""The end of a node: reboot and shutdown through the API."""

import pytest


@pytest.mark.parametrize("command, ended", [("reboot", "signal 1"), ("shutdown", "signal 2")])
def test_ends_where_it_was_told(node, command, ended):
    node.osctl(command, "--yes") if "--yes" in node.osctl(command, "--help") else node.osctl(command)
    assert node.wait_end(timeout=30) == ended
