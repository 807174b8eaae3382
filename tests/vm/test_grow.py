"""A disk image that was put onto a larger disk takes all of it at its first boot, and loses nothing of what it held."""

import os
import subprocess

import ext4
import harness

MIB, GIB = 1 << 20, 1 << 30
SIZE = 7 * GIB + 5 * 512


def first_boot(node):
    node.machine.start()
    try:
        node.wait_api(150)
        node.wait_volumes()
        node.osctl("shutdown", "--yes")
        assert node.machine.wait_end(90)
    finally:
        node.machine.stop()


def blocks(disk):
    return int(ext4.header(disk, "STELE-DATA")["Block count"])


def assert_grown(disk, before):
    """STELE-DATA, of `before` blocks in the image, reaches the disk's end."""
    start, size = ext4.partitions(disk)["STELE-DATA"]
    assert (start + size) // MIB == SIZE // MIB - 1, "up to the last MiB, which is the table's"
    assert blocks(disk) * 4096 == size and blocks(disk) - before > 2 * GIB // 4096, (before, blocks(disk))
    assert ext4.problems(disk, "STELE-DATA") == []


def test_a_larger_disk_is_used_and_the_data_is_there():
    node = harness.Node("grow", firmware="ovmf", disk_size=SIZE, lifetime=400)
    image, disk = node.folder / "image.raw", node.machine.disk()
    harness.copy_sparse(harness.IMAGE / "stele.raw", image)
    kept = {"/lib/old/large": os.urandom(64 << 20), "/lib/old/small": b"small"}
    ext4.put(image, "STELE-DATA", kept)
    node.machine.options.disk_image = image
    try:
        first_boot(node)
        assert_grown(disk, blocks(image))
        assert {path: ext4.get(disk, "STELE-DATA", path) for path in kept} == kept
    finally:
        disk.unlink(missing_ok=True)
        image.unlink()


def test_an_overlay_of_the_qcow2_is_used():
    """As clouds make a node's disk: the image stays as it is, and what is larger and changes lies beside it."""
    image = harness.IMAGE / "stele.qcow2"
    node = harness.Node("grow-qcow2", firmware="ovmf", disk_image=image, disk_form="qcow2", disk_size=SIZE, lifetime=400)
    disk, raw, then = node.machine.disk(), node.folder / "seen.raw", image.stat().st_mtime_ns
    try:
        first_boot(node)
        subprocess.run(["qemu-img", "convert", "-O", "raw", disk, raw], check=True)
        assert_grown(raw, blocks(harness.IMAGE / "stele.raw"))
        assert image.stat().st_mtime_ns == then and disk.stat().st_size < 256 * MIB, "growing writes little, and beside the image"
    finally:
        disk.unlink(missing_ok=True)
        raw.unlink(missing_ok=True)
