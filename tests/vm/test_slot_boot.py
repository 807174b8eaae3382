"""A node whose root is a slot: verified block by block, found on its own disk, and given up when it does not work.

Each test boots under OVMF from a disk with the built image, or a variant of it, in slot A.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

import harness

import assemble
import disk
import variants

GIB = 1 << 30
DISK_SIZE = 4 * GIB
LAYOUT = disk.layout(DISK_SIZE)
ENVIRONMENT = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "MTOOLS_SKIP_CHECK": "1"}
TRIAL_SECONDS = 25


@pytest.fixture
def folder():
    harness.OUT.mkdir(parents=True, exist_ok=True)
    path = pathlib.Path(tempfile.mkdtemp(prefix="slot-", dir=harness.OUT))
    yield path
    shutil.rmtree(path)


def run(*command):
    subprocess.run(list(map(str, command)), env=ENVIRONMENT, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def copy_of_the_disk(folder, name="disk.raw"):
    run("cp", "--sparse=always", harness.IMAGE / "stele.raw", folder / name)
    return folder / name


def esp(raw):
    return f"{raw}@@{LAYOUT['ESP'].start}"


def disk_on_trial(folder, kind, trial=None):
    """A disk whose only entry is a variant of the image with three tries, and a deadline of `trial` seconds."""
    of = assemble.Ingredients.load(harness.IMAGE / "made/ingredients.json")
    line = of.command_line + (f" stele.trial={trial}" if trial else "")
    image = variants.make(kind, version="0.2.0", out=folder / "variant.img", command_line=line)
    disk.build(folder / "disk.raw", DISK_SIZE, image, 512, of.epoch, folder / "work")
    run("mren", "-i", esp(folder / "disk.raw"), "::EFI/Linux/stele-1.efi", "::EFI/Linux/stele-1+3.efi")
    return folder / "disk.raw"


def node(name, raw, **options):
    return harness.node(name, firmware="ovmf", disk_image=raw, lifetime=400, **options)


def wait_event(made, name, seconds):
    made.wait_for("QEMU's monitor", (made.folder / "qmp.sock").exists, 20)
    with made.machine.events() as wait:
        wait(name, seconds)


def init_lines(made):
    return [line for line in made.osctl("dmesg").splitlines() if "init:" in line]


def test_the_root_is_verified_and_comes_from_our_own_disk(folder):
    # The same version on a disk that the firmware sees first but cannot start: a disk of another machine, say.
    stale = copy_of_the_disk(folder, "stale.raw")
    for number in range(1, 6):
        run("sfdisk", "--quiet", "--part-uuid", stale, number, f"0BADC0DE-0000-4000-8000-{number:012d}")
    run("mdeltree", "-i", esp(stale), "::EFI/BOOT", "::EFI/systemd")
    with node("slot-own", stale, second_disk=copy_of_the_disk(folder, "own.raw")) as made:
        made.wait_api(150)
        mounts = {m["body"]["target"]: m["body"] for m in made.get("mounts").values()}
        assert mounts["/"]["source"] == "/dev/dm-0" and mounts["/"]["fstype"] == "squashfs", mounts["/"]
        assert mounts["/sys/firmware/efi/efivars"]["options"].startswith("ro,"), mounts["/sys/firmware/efi/efivars"]
        assert "/sys/fs/pstore" in mounts
        assert any("root: /dev/vdb2 (STELE-ROOT-A)" in line for line in init_lines(made)), init_lines(made)


@pytest.mark.parametrize("bus, sector", [("nvme", 4096), ("scsi", 512), ("sata", 512)])
def test_the_root_is_found_on_any_bus(folder, bus, sector):
    made_of = assemble.Ingredients.load(harness.IMAGE / "made/ingredients.json")
    disk.build(folder / "disk.raw", DISK_SIZE, harness.IMAGE / "stele.img", sector, made_of.epoch, folder / "work")
    with node(f"slot-{bus}", folder / "disk.raw", bus=bus, sector=sector) as made:
        made.wait_api(150)
        told = init_lines(made)
        assert any("root: " in line for line in told), told
        assert not any("GPT" in line for line in told), told
        # Our own disk was recognised, and not taken only because nothing else had come within 20 s.
        [mount] = [p["body"] for i, p in made.get("phases").items() if i.endswith("root-mount")]
        assert float(mount["duration"].rstrip("s")) < 15, mount


def test_a_corrupt_block_is_a_panic_and_a_reset(folder):
    raw = copy_of_the_disk(folder)
    slot, size = LAYOUT["STELE-ROOT-A"], (harness.IMAGE / "root.squashfs").stat().st_size
    # All but the first and last tenth: what init reads to see that the slot fits, and what mounting reads, is whole.
    with open(raw, "r+b") as opened:
        for at in range(slot.start + size // 10, slot.start + size // 10 * 9, 4096):
            opened.seek(at + 100)
            opened.write(b"corrupt")
    with node("slot-corrupt", raw) as made:
        wait_event(made, "RESET", 120)
        text = made.serial_text()
        assert "Kernel panic - not syncing: dm-verity device corrupted" in text, text[-3000:]


def test_a_slot_that_does_not_fit_is_told_and_rebooted(folder):
    raw = copy_of_the_disk(folder)
    with open(raw, "r+b") as opened:
        opened.seek(LAYOUT["STELE-ROOT-A"].start)
        opened.write(b"x")
    with node("slot-none", raw) as made:
        wait_event(made, "RESET", 150)
        text = made.serial_text()
        assert "init: cannot boot: root-mount: no slot with the root of the command line" in text, text[-3000:]
        for part in ("on disk: vda", "/dev/vda2 (STELE-ROOT-A): block 0 does not fit the hash", "/dev/vda3 (STELE-ROOT-B)", "vda5"):
            assert part in text, text[-3000:]


def test_a_trial_that_nobody_ends_is_over_at_its_deadline(folder):
    with node("slot-trial", disk_on_trial(folder, "apid-hangs", TRIAL_SECONDS)) as made:
        wait_event(made, "RESET", 200)
        assert f"init: trial: machined did not say that the image is good within {TRIAL_SECONDS} s: rebooting" in made.serial_text(), \
            made.serial_text()[-3000:]


def test_a_machined_that_ends_again_and_again_ends_its_trial(folder):
    with node("slot-exits", disk_on_trial(folder, "machined-exits")) as made:
        wait_event(made, "RESET", 150)
        assert "init: trial: machined ended 10 times, each within a minute: rebooting" in made.serial_text(), made.serial_text()[-3000:]


def test_a_second_stage_that_hangs_is_reset_by_the_watchdog(folder):
    with node("slot-hangs", disk_on_trial(folder, "init-hangs")) as made:
        wait_event(made, "WATCHDOG", 200)
