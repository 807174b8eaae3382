"""Nodes that boot a medium, and then the disk that was installed from it."""

import contextlib

import harness


@contextlib.contextmanager
def from_medium(name, install="", medium="iso", before=None, **options):
    """A node that boots a medium, with `install` as its configuration's `install:`. `before(node)` is called before it starts."""
    options.setdefault("lifetime", 1200)
    node = harness.Node(name, firmware="ovmf", medium=medium, **options)
    if install:
        node.config.write_text(node.config.read_text() + f"install: {install}\n")
    if before:
        before(node)
    node.machine.start()
    try:
        yield node
    finally:
        node.machine.stop()
        node.machine.disk().unlink(missing_ok=True)


def wait_disk_boots(node, timeout=420):
    """The installed system runs: slot a, with both of its volumes."""
    node.wait_for("the disk boots", lambda: node.boots()[-1].get("slot") == "a", timeout)
    node.wait_volumes()
    assert node.get("configs")["running"]["body"]["source"] == "state"


def from_power_on_by_disk(node):
    """Without the medium, as after it was taken out."""
    node.machine.stop()
    node.machine.options.medium = "disk"
    node.machine.start()
