"""What may lie on an ESP beside the one image that runs: two names of one file, and copies of older images."""

import struct
import subprocess
import sys

import harness
import variants
from test_slot_boot import ENVIRONMENT, LAYOUT, copy_of_the_disk, esp, folder, run  # noqa: F401, a fixture

sys.path.insert(0, str(harness.TOP / "tests/crash"))
import fat  # noqa: E402

FOLDER = "EFI/Linux"


def names(raw):
    done = subprocess.run(["mdir", "-b", "-i", esp(raw), f"::{FOLDER}"], env=ENVIRONMENT, check=True, capture_output=True, text=True)
    return sorted(line.rpartition("/")[2] for line in done.stdout.splitlines())


def volume(opened):
    def read(offset, size):
        opened.seek(offset)
        return opened.read(size)
    return fat.Fat(read, LAYOUT["ESP"].start, LAYOUT["ESP"].size)


def add_twin(raw, name, twin):
    """A second directory entry with the first one's clusters and size, as a rename leaves it that was cut in its middle."""
    empty = raw.with_suffix(".empty")
    empty.touch()
    run("mcopy", "-i", esp(raw), empty, f"::{FOLDER}/{twin}")
    with open(raw, "r+b") as opened:
        vfat = volume(opened)
        of, new = (vfat.find(f"{FOLDER}/{each}") for each in (name, twin))
        start = vfat.offset(vfat.find(FOLDER).cluster)
        entries = vfat.read_disk(start, vfat.cluster_size)
        [at] = [at for at in range(0, len(entries), 32) if fat._short_name(entries[at:at + 32]) == new.short]
        opened.seek(start + at + 20)
        opened.write(struct.pack("<H4xHI", of.cluster >> 16, of.cluster & 0xFFFF, of.size))
        opened.flush()
        assert volume(opened).find(f"{FOLDER}/{twin}").cluster == of.cluster


def test_twins_and_older_copies(folder):  # noqa: F811
    raw = copy_of_the_disk(folder)
    run("mcopy", "-i", esp(raw), harness.IMAGE / "stele.efi", f"::{FOLDER}/stele-3.efi")
    run("mren", "-i", esp(raw), f"::{FOLDER}/stele-1.efi", f"::{FOLDER}/stele-2.efi")
    run("mcopy", "-i", esp(raw), harness.IMAGE / "stele.efi", f"::{FOLDER}/stele-1.efi")
    add_twin(raw, "stele-3.efi", "stele-3+1-2.efi")  # of the one that runs; stele-1 and -2 are older copies
    with harness.node("esp", firmware="ovmf", disk_image=raw, lifetime=1200) as node:
        node.wait_api(150)
        # Whichever of the two names the loader took: a counted boot's trial ends all the same.
        node.wait_for("it is good", lambda: node.get("slots")["a"]["body"]["file"] == "stele-3.efi"
                      and node.get("slots")["a"]["body"]["state"] == "SLOT_STATE_GOOD", 240)
        node.osctl("upgrade", "--image", variants.make("good", "0.2.0"), "--yes", timeout=420)
        assert node.get("slots")["b"]["body"]["running"]

        # Now the other slot's: a's names are all in the way of the next upgrade, and two of them are one file.
        node.osctl("upgrade", "--image", variants.make("good", "0.3.0"), "--yes", timeout=420)
        slots = {name: slot["body"] for name, slot in node.get("slots").items()}
        assert slots["a"]["running"] and slots["a"]["version"] == "0.3.0" and slots["b"]["state"] == "SLOT_STATE_GOOD", slots
        node.osctl("rollback", "--yes", timeout=420)
        assert node.get("slots")["b"]["body"]["running"], "0.2.0 was not touched"
        node.osctl("shutdown", "--yes")
        assert node.machine.wait_end(90)
        twins = [name for name in names(node.machine.disk()) if name.endswith(".twin")]
        assert len(twins) == 2 and "stele-3.twin" in twins, names(node.machine.disk())
        with open(node.machine.disk(), "rb") as opened:
            vfat = volume(opened)
            whole = [vfat.content(vfat.find(f"{FOLDER}/{name}")) for name in twins]
        assert whole == [(harness.IMAGE / "stele.efi").read_bytes()] * 2, "what was set aside is as it was"
