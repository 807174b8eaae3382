"""From a medium onto a disk: by the configuration alone, with osctl, over a pulled plug, and where it must be refused."""

import subprocess

import efi_store
import ext4
import harness
import pytest
import qemu
import variants
from installing import from_medium, from_power_on_by_disk, wait_disk_boots

MIB, GIB = 1 << 20, 1 << 30


def test_from_an_iso_to_the_disk_and_its_boots():
    with from_medium("install", "{disk: {path: /dev/vda}}") as node:
        wait_disk_boots(node)
        assert 'loading Boot' in node.serial_text() and '"Stele" from HD(1,GPT' in node.serial_text()

        # The end that was asked for is the reason of the boot before.
        node.osctl("reboot", "--yes", "--wait", timeout=300)
        node.wait_for("the history has two boots", lambda: len(node.boots()) >= 2, 120)
        assert node.boots()[-2]["end"] == "BOOT_END_REBOOT" and "asked by" in node.boots()[-2]["reason"]

        # The plug.
        node.machine.stop()
        node.machine.start()
        node.wait_for("the power loss is told", lambda: node.boots()[-2]["end"] == "BOOT_END_POWER_LOSS", 300)


@pytest.mark.parametrize("bus, sector, var", [
    pytest.param("nvme", 4096, "/dev/nvme0n1p5", id="nvme_4096_byte"),
    pytest.param("nvme", 512, "/dev/nvme0n1p5", id="nvme"),
    pytest.param("scsi", 512, "/dev/sda5", id="scsi"),
    pytest.param("scsi", 4096, "/dev/sda5", id="scsi_4k"),
    pytest.param("sata", 512, "/dev/sda5", id="sata"),
])
def test_onto_a_disk_of(bus, sector, var):
    with from_medium(f"install-{bus}-{sector}", "{disk: {model: QEMU, min_size: 4}}", bus=bus, sector=sector) as node:
        wait_disk_boots(node)
        assert {m["body"]["target"]: m["body"]["source"] for m in node.get("mounts").values()}["/var"] == var


def full_store(node):
    node.machine.variables().write_bytes(efi_store.filled(qemu.find().ovmf_vars.read_bytes(), leave=64))


def protected_store(node):
    node.machine.options.variables_read_only = True


@pytest.mark.parametrize("store, warning", [(full_store, "no boot entries"), (protected_store, "")])
def test_firmware_that_keeps_no_variables(store, warning):
    """Full: every write is refused. Protected flash: OVMF keeps variables in memory, and forgets them with the power."""
    with from_medium(f"install-{store.__name__}", before=store) as node:
        node.wait_api(150)
        code, _, told = node.try_osctl("install", "--disk", "/dev/vda", "--power-off", "--yes", timeout=300)
        assert code == 0 and warning in told, told
        assert node.machine.wait_end(60)
        from_power_on_by_disk(node)
        wait_disk_boots(node)
        node.osctl("upgrade", "--image", variants.make("good", "0.2.0"), "--yes", timeout=420)
        states = {name: slot["body"]["state"] for name, slot in node.get("slots").items()}
        assert states == {"a": "SLOT_STATE_GOOD", "b": "SLOT_STATE_GOOD"}, states
        assert node.boots()[-1]["version"] == "0.2.0", node.boots()[-1]


def test_osctl_install_over_a_pulled_plug_beside_a_stale_stele():
    def somebodys_data(node):
        harness.copy_sparse(harness.IMAGE / "stele.raw", node.folder / "stale.raw")
        node.machine.options.second_disk = node.folder / "stale.raw"
        node.machine.disk().touch()
        subprocess.run(["mkfs.ext4", "-q", "-L", "precious", node.machine.disk(), "4G"], check=True)

    with from_medium("install-osctl", medium_first=True, before=somebodys_data) as node:
        node.wait_api(150)
        code, _, told = node.try_osctl("install", "--disk", "/dev/vda", "--yes")
        assert code == 1 and "the disk holds ext4; with `wipe` it would be erased" in told, told
        code, _, told = node.try_osctl("install", "--disk", "/dev/sr0", "--dry-run")
        assert code == 1 and "no disk fits; there are: /dev/vda, 4.0 GiB" in told, told
        plan = node.osctl("install", "--serial", "disk0", "--wipe", "--dry-run")
        for line in ("/dev/vda, 4.0 GiB, serial disk0", "wipe what it holds: ext4", "make STELE-DATA, "):
            assert line in plan, plan
        assert ext4.header(node.machine.disk(), None)["Filesystem volume name"] == "precious", "only looked at"

        # The plug, once a quarter of the root is on the disk.
        with node.popen("install", "--serial", "disk0", "--wipe", "--yes", stderr=subprocess.PIPE, text=True) as client:
            node.wait_for("the image is being written", lambda: written(node.machine.disk(), 513 * MIB, 80 * MIB) > 20 * MIB, 60)
            node.machine.stop()
            _, told = client.communicate(timeout=60)
        assert client.returncode == 3 and "osctl events" in told, told
        node.machine.start()
        node.wait_api(150)
        plan = node.osctl("install", "--disk", "/dev/vda", "--dry-run")
        assert "begin anew where an installation was cut off" in plan, plan
        node.osctl("install", "--disk", "/dev/vda", "--power-off", "--yes", timeout=300)
        assert node.machine.wait_end(60)

        stale = (node.folder / "stale.raw").stat().st_mtime_ns
        from_power_on_by_disk(node)
        wait_disk_boots(node)
        mounts = {m["body"]["target"]: m["body"]["source"] for m in node.get("mounts").values()}
        assert mounts["/var"] == "/dev/vda5", mounts
        assert (node.folder / "stale.raw").stat().st_mtime_ns == stale, "the other disk was written to"
        (node.folder / "stale.raw").unlink()


def written(file, start, size):
    """Bytes of a range of a sparse file that hold anything, in pieces of 64 KiB."""
    piece = 64 << 10
    with open(file, "rb") as opened:
        opened.seek(start)
        return sum(piece for _ in range(size // piece) if any(opened.read(piece)))


def test_a_disk_that_is_too_small_is_refused():
    with from_medium("install-small", "{disk: {path: /dev/vda}}", disk_size=3 * GIB) as node:
        node.wait_api(150)
        wanted = "the disk has 3072 MiB; an installation needs at least 3330 MiB"
        code, _, told = node.try_osctl("install", "--disk", "/dev/vda", "--wipe", "--yes")
        assert code == 1 and wanted in told, told
        node.wait_for("the configuration's own is refused", lambda: any(wanted in line for line in node.events()), 60)
        assert not written(node.machine.disk(), 0, MIB)
