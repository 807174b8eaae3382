"""`osctl reset`: what is to go goes, what is to stay stays, and a pulled plug in its middle changes nothing of that."""

import dataclasses
import subprocess

import ext4
import harness
from installing import from_power_on_by_disk, wait_disk_boots

DATA, STATE = "STELE-DATA", "STELE-STATE"
MANIFESTS = b"STELE-MANIFESTS-"
KEPT, GONE = "/lib/etcd/member/wal", "/log/pods/somebody"


def from_disk(name, files):
    """A node on its disk, with files of an earlier life in /var; not started yet."""
    node = harness.Node(name, firmware="ovmf", disk_size=6 << 30, lifetime=1200)
    harness.copy_sparse(harness.IMAGE / "stele.raw", node.machine.disk())
    ext4.put(node.machine.disk(), DATA, {path: path.encode() for path in files})
    with open(node.machine.disk(), "r+b") as disk:
        disk.truncate(node.machine.options.disk_size)
    return node


def note(disk):
    """What the disk's third note says it is: it is there while STELE-STATE is wiped (src/machined/install/disk_note.h)."""
    with open(disk, "rb") as opened:
        opened.seek(640 << 10)
        return opened.read(16)


def table_id(disk):
    """The GUID of the disk's partition table; "" while there is none."""
    done = subprocess.run(["sfdisk", "--disk-id", str(disk)], capture_output=True, text=True)
    return done.stdout.strip()


def end(node):
    node.machine.stop()
    node.machine.disk().unlink(missing_ok=True)


def test_data_but_what_is_kept_then_state_and_power_off():
    node = from_disk("reset", [KEPT, GONE])
    disk = node.machine.disk()
    node.machine.start()
    try:
        node.wait_api(150)
        node.wait_volumes(240)
        plan = node.osctl("reset", "--data", "--keep", "lib/etcd", "--dry-run")
        assert "delete everything in /var except lib/etcd" in plan, plan
        node.osctl("reset", "--data", "--keep", "lib/etcd", "--wait", "--yes", timeout=300)
        node.wait_volumes(240)
        assert [boot["end"] for boot in node.boots()] == ["BOOT_END_REBOOT", "BOOT_END_RUNNING"], "the state stayed"
        assert "reset, asked by" in node.boots()[0]["reason"]
        node.osctl("reset", "--state", "--power-off", "--yes")
        assert node.machine.wait_end(240), node.serial_text()[-2000:]
        assert ext4.get(disk, DATA, KEPT) == KEPT.encode()
        assert ext4.get(disk, DATA, GONE) is None
        assert ext4.get(disk, STATE, "/upgrade/a.manifest"), "which image slot a has is not the node's to forget"
        assert ext4.problems(disk, STATE) == ext4.problems(disk, DATA) == []

        # Nobody gives it a configuration now: maintenance. Then a medium that installs: again, since the disk forgot what
        # was installed on it.
        node.machine.options.config = None
        node.machine.start()
        node.wait_for("maintenance mode", lambda: "config running: no configuration: give one by" in node.serial_text(), 150)
        node.machine.stop()
        before = table_id(disk)
        node.config.write_text(node.config.read_text() + "install: {disk: {path: /dev/vda}, wipe: true}\n")
        node.machine.options = dataclasses.replace(node.machine.options, config=node.config, medium="iso", medium_first=True)
        node.machine.start()
        node.wait_for("it is installed again", lambda: "reboot: Restarting system" in node.serial_text(), 300)
        assert table_id(disk) not in ("", before)
        from_power_on_by_disk(node)
        wait_disk_boots(node)
        assert len(node.boots()) == 1
    finally:
        end(node)


def test_the_plug_is_pulled_in_the_middle():
    node = from_disk("reset-cut", [KEPT, GONE])
    disk = node.machine.disk()
    node.machine.start()
    try:
        node.wait_api(150)
        node.wait_volumes(240)
        node.osctl("reset", "--state", "--data", "--thorough", "--yes")
        node.wait_for("the state is being wiped", lambda: note(disk) == MANIFESTS, 120, pause=0.002)  # it takes a moment only
        node.machine.stop()
        assert note(disk) == MANIFESTS, "the plug was pulled too late"
        node.machine.start()
        node.wait_api(150)
        node.wait_volumes(240)
        [boot] = node.boots()
        assert boot["end"] == "BOOT_END_RUNNING"
        slot = node.get("slots")["a"]["body"]
        assert slot["version"] and slot["running"], slot
        node.osctl("shutdown", "--yes")
        assert node.machine.wait_end(90)
        assert ext4.get(disk, DATA, KEPT) is None and ext4.get(disk, DATA, GONE) is None
        assert ext4.get(disk, STATE, "/upgrade/a.manifest"), "which image slot a has was brought over the cut"
        assert ext4.problems(disk, STATE) == ext4.problems(disk, DATA) == []
        with open(disk, "rb") as opened:
            opened.seek(512 << 10)
            assert not any(opened.read(512 << 10)), "a note is left"
    finally:
        end(node)
