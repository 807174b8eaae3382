"""A disk image that was put onto a larger disk takes all of it at its first boot, and loses nothing of what it held."""

import os

import ext4
import harness

GIB = 1 << 30


def test_a_larger_disk_is_used_and_the_data_is_there():
    node = harness.Node("grow", firmware="ovmf", disk_size=7 * GIB + 5 * 512, lifetime=400)
    image = node.folder / "image.raw"
    harness.copy_sparse(harness.IMAGE / "stele.raw", image)
    kept = {"/lib/old/large": os.urandom(64 << 20), "/lib/old/small": b"small"}
    ext4.put(image, "STELE-DATA", kept)
    before = int(ext4.header(image, "STELE-DATA")["Block count"])
    node.machine.options.disk_image = image
    node.machine.start()
    try:
        node.wait_api(150)
        node.wait_volumes()
        node.osctl("shutdown", "--yes")
        assert node.machine.wait_end(90)
        disk = node.machine.disk()
        start, size = ext4.partitions(disk)["STELE-DATA"]
        assert (start + size) >> 20 == (7 * GIB >> 20) - 1, "up to the last MiB, which is the table's"
        after = int(ext4.header(disk, "STELE-DATA")["Block count"])
        assert after * 4096 == size and after - before > 2 * GIB // 4096, (before, after)
        assert ext4.problems(disk, "STELE-DATA") == []
        assert {path: ext4.get(disk, "STELE-DATA", path) for path in kept} == kept
    finally:
        node.machine.stop()
        node.machine.disk().unlink(missing_ok=True)
        image.unlink()
