"""An image that is sent over a line that breaks or stands still at 20 points: it arrives as if the line were a good one.

What counts is the disk: the slot's bytes, the UKI's and the manifest's are the image file's. Before each upload the slot is filled
with something else, so that nothing counts that was there before.
"""

import subprocess

import bad_line
import ext4
import harness
import pytest
import variants

import image_file

POINTS = 20
STALL_SECONDS = 10
ROOT = -1  # the root is the file's last part
VERSION = "0.2.0"


@pytest.fixture(scope="module")
def image():
    return variants.make("good", VERSION)


@pytest.fixture(scope="module")
def node():
    with harness.node("cut-uploads", firmware="ovmf", lifetime=2400) as made:
        made.wait_api(120)
        made.wait_service("kubelet")
        yield made


def part(image, index):
    """(offset in the file, bytes) of a part: loader, UKI, root."""
    about = image_file.read(image)
    with open(image, "rb") as opened:
        opened.seek(about.offsets[index])
        return opened.read(about.manifest.parts[index].size)


def fill_slot(node, image):
    start, _ = ext4.partitions(node.machine.disk())["STELE-ROOT-B"]
    with open(node.machine.disk(), "r+b") as disk:
        disk.seek(start)
        for _ in range(len(part(image, ROOT)) // (1 << 20) + 1):
            disk.write(b"\xa5" * (1 << 20))


def slot_bytes(node, size):
    start, _ = ext4.partitions(node.machine.disk())["STELE-ROOT-B"]
    with open(node.machine.disk(), "rb") as disk:
        disk.seek(start)
        return disk.read(size)


def spread(image):
    """20 points over the whole upload: in the header, every eighteenth, within the handshake that follows the one in the middle, and in
    the file's last block."""
    size = image.stat().st_size
    points = [10_000, *(size * step // 18 for step in range(1, 18)), size // 2 + 300, size - 1000]
    assert len(set(points)) == POINTS
    return points


def stage(node, image, fault):
    """osctl's words, and the line with what happened on it."""
    with bad_line.between(node.machine.port, fault, spread(image)) as line:
        code, _, told = node.try_osctl("upgrade", "--image", image, "--yes", "--stage-only", timeout=560, port=line.port)
    assert code == 0 and f"staged {VERSION} in slot b" in told, told
    return told, line


def assert_same_as_the_file(node, image):
    root = part(image, ROOT)
    slot = node.get("slots")["b"]["body"]
    assert (slot["state"], slot["version"]) == ("SLOT_STATE_STAGED", VERSION), slot
    assert slot["rootHash"] == image_file.read(image).manifest.verity.root_hash.hex(), slot
    assert slot_bytes(node, len(root)) == root, "the slot holds other bytes than the image file"


def test_cut_at_20_points(node, image):
    fill_slot(node, image)
    told, line = stage(node, image, bad_line.cut)
    assert len(line.faults) == POINTS and line.connections > POINTS, (line.faults, line.connections, told)
    assert_same_as_the_file(node, image)


def test_stalled_at_20_points(node, image):
    node.osctl("upgrade", "cancel")
    fill_slot(node, image)
    told, line = stage(node, image, bad_line.stall(STALL_SECONDS))
    assert len(line.faults) == POINTS, (line.faults, told)
    assert line.connections == 1, "a stall of ten seconds costs no connection"
    assert_same_as_the_file(node, image)


def test_what_lies_on_the_disk_is_the_files(node, image):
    """After a shutdown, from outside: the UKI under a name that does not boot, and the header as the slot's manifest."""
    node.osctl("shutdown", "--yes")
    assert node.machine.wait_end(60)
    where = ext4.partitions(node.machine.disk())
    at = f"{node.machine.disk()}@@{where['ESP'][0]}"
    listed = read("mdir", "-b", "-i", at, "::EFI/Linux").decode().split()
    assert sorted(listed) == ["::/EFI/Linux/stele-1.efi", "::/EFI/Linux/stele-2.new"], listed
    assert read("mcopy", "-i", at, "::EFI/Linux/stele-2.new", "-") == part(image, 1)
    assert ext4.get(node.machine.disk(), "STELE-STATE", "upgrade/b.manifest") == image_file.read(image).header


def read(*command):
    return subprocess.run(list(map(str, command)), check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout
