"""The UKIs, the disks and the media, each read back with a tool that did not write it."""

import hashlib
import json
import subprocess

import disk
import pytest
from conftest import build, digest

pytestmark = pytest.mark.timeout(600)
MIB, GIB = 1 << 20, 1 << 30
PARTITIONS = {"ESP": 512 * MIB, "STELE-ROOT-A": GIB, "STELE-ROOT-B": GIB, "STELE-STATE": 256 * MIB, "STELE-DATA": None}
LARGEST_UKI = 16 * MIB
# What a slot may be on, where the kernel has it as a module; and what it takes to use it.
EARLY = {"virtio_blk", "virtio_scsi", "sd_mod", "ahci", "hv_storvsc", "xen-blkfront", "vmw_pvscsi", "dm-mod", "dm-verity", "squashfs", "loop",
         "overlay", "efivarfs", "i6300esb"}


def section(uki, name, folder):
    out = folder / name.lstrip(".")
    subprocess.run(["objcopy", "-O", "binary", f"--dump-section={name}={out}", uki, folder / "ignored"], check=True, capture_output=True)
    return out.read_bytes()


def holds(padded, wanted):
    return padded[:len(wanted)] == wanted and set(padded[len(wanted):]) <= {0}


def cpio_files(data):
    """{name: bytes} of a newc archive."""
    found, at = {}, 0
    while True:
        assert data[at:at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110:at + 110 + fields[11] - 1].decode()
        begin = at + 110 + fields[11]
        begin += -begin % 4
        if name == "TRAILER!!!":
            return found
        found[name] = data[begin:begin + fields[6]]
        at = begin + fields[6]
        at += -at % 4


def partitions(image):
    table = subprocess.run(["/sbin/sfdisk", "--json", image], capture_output=True, text=True, check=True).stdout
    return {p["name"]: p for p in json.loads(table)["partitiontable"]["partitions"]}


def listed(image, offset):
    done = subprocess.run(["mdir", "-/", "-b", "-i", f"{image}@@{offset}", "::"], capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split() if not name.endswith("/")}


def on_esp(image, offset, path):
    return subprocess.run(["mtype", "-i", f"{image}@@{offset}", path], capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def early(built):
    unpacked = subprocess.run(["zstd", "-dc", built / "made/early.cpio.zst"], capture_output=True, check=True).stdout
    return cpio_files(unpacked)


def test_the_uki_is_small_and_holds_kernel_command_line_and_early_files(built, tmp_path):
    assert (built / "stele.efi").stat().st_size < LARGEST_UKI
    for name, file in ((".linux", "vmlinuz"), (".initrd", "made/early.cpio.zst"), (".cmdline", "cmdline")):
        assert holds(section(built / "stele.efi", name, tmp_path), (built / file).read_bytes())


@pytest.mark.parametrize("uki", ["stele.efi", "stele-medium.efi"])
def test_the_loader_is_told_no_version(built, uki, tmp_path):
    told = dict(line.split("=", 1) for line in section(built / uki, ".osrel", tmp_path).decode().rstrip("\0").splitlines())
    assert told["ID"] == "stele" and told["PRETTY_NAME"] == '"Stele 1.2.3-test"'
    assert not {"VERSION", "VERSION_ID", "IMAGE_VERSION", "BUILD_ID"} & set(told)


def test_the_early_files_are_init_and_drivers_with_their_tables(built, early):
    modules = {name.rpartition("/")[2].removesuffix(".ko"): name for name in early if name.endswith(".ko")}
    assert EARLY <= set(modules)
    assert early["init"] == (built / "root/usr/lib/stele/init").read_bytes()
    [tables] = [name.removesuffix("modules.dep") for name in early if name.endswith("/modules.dep")]
    for line in early[tables + "modules.dep"].decode().splitlines():
        module, _, needed = line.partition(":")
        assert {tables + path for path in [module, *needed.split()]} <= set(early)
    aliases = early[tables + "modules.alias"].decode()
    assert "alias virtio:d00000002v* virtio_blk" in aliases and "alias pci:v*d*sv*sd*bc01sc06i01* ahci" in aliases
    assert not any("root" in name and name != "root" for name in early), "no root in it"


def test_the_mediums_initramfs_carries_the_image_file_whole(built, tmp_path):
    data, first = (built / "initramfs.cpio").read_bytes(), (built / "made/early.cpio.zst").read_bytes()
    assert data.startswith(first)
    begin = len(first) + -len(first) % 4
    carried = cpio_files(data[begin:])
    assert set(carried) == {"head.img", "root.img"}
    assert carried["root.img"] == (built / "root.img").read_bytes()
    assert carried["head.img"] + carried["root.img"] == (built / "stele.img").read_bytes()
    assert holds(section(built / "stele-medium.efi", ".initrd", tmp_path), data)


def check_disk(image, built):
    """What is on a disk as on a node just installed. Partitions are found by their fixed places: sfdisk knows 512 only."""
    at, places = MIB, {}
    for name, size in PARTITIONS.items():
        places[name] = at
        at += size or 0
    loader = (built / "stele.img").read_bytes()[4096:]
    files = listed(image, places["ESP"])
    [named] = [name for name in files if name.startswith("::/EFI/systemd/")]
    assert files == {"::/EFI/BOOT/BOOTX64.EFI", named, "::/EFI/Linux/stele-1.efi", "::/loader/loader.conf"}
    boot = on_esp(image, places["ESP"], "::/EFI/BOOT/BOOTX64.EFI")
    assert named == f"::/EFI/systemd/boot-{hashlib.sha256(boot).hexdigest()[:8]}.efi"
    assert boot == on_esp(image, places["ESP"], named) == loader[:len(boot)]
    assert on_esp(image, places["ESP"], "::/EFI/Linux/stele-1.efi") == (built / "stele.efi").read_bytes()
    assert on_esp(image, places["ESP"], "::/loader/loader.conf") == b"timeout 0\neditor no\n"
    root = (built / "root.img").read_bytes()
    with open(image, "rb") as opened:
        opened.seek(places["STELE-ROOT-A"])
        assert opened.read(len(root)) == root
        opened.seek(places["STELE-ROOT-B"])
        assert set(opened.read(MIB)) == {0}
    for name in ("STELE-STATE", "STELE-DATA"):
        label = subprocess.run(["/sbin/blkid", "-p", "-O", str(places[name]), "-o", "value", "-s", "LABEL", image], capture_output=True, text=True)
        assert label.stdout.strip() == name
    kept = subprocess.run(["/sbin/debugfs", "-R", "cat upgrade/a.manifest", f"{image}?offset={places['STELE-STATE']}"], capture_output=True).stdout
    length = int.from_bytes(kept[12:16], "little")
    assert kept == (built / "stele.img").read_bytes()[:16 + length]


def test_the_disk_is_that_of_a_node_just_installed(built):
    found = partitions(built / "stele.raw")
    assert {name: p["size"] * 512 for name, p in found.items()} == PARTITIONS | {"STELE-DATA": 4 * GIB - 2 * MIB - sum(s or 0 for s in PARTITIONS.values())}
    check_disk(built / "stele.raw", built)


def test_a_disk_of_4096_byte_sectors(built, tmp_path):
    disk.build(tmp_path / "stele.raw", 4 * GIB, built / "stele.img", 4096, 1795392000, tmp_path / "work")
    told = subprocess.run(["/sbin/fdisk", "--sector-size", "4096", "--list", "--output", "Name,Start,Sectors", tmp_path / "stele.raw"],
                          capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in told.splitlines() if line.startswith(("ESP", "STELE-"))]
    assert [row[0] for row in rows] == list(PARTITIONS)
    assert rows[0][1:] == ["256", str(512 * MIB // 4096)]
    check_disk(tmp_path / "stele.raw", built)


def test_the_qcow2_is_the_raw_disk(built):
    subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2", built / "stele.raw", built / "stele.qcow2"], check=True, capture_output=True)


def test_the_iso_boots_by_el_torito_and_as_a_disk(built):
    report = subprocess.run(["xorriso", "-indev", built / "stele.iso", "-report_el_torito", "plain"], capture_output=True, text=True, check=True).stdout
    assert "UEFI" in report and "BIOS" not in report
    [esp] = [p for p in partitions(built / "stele.iso").values() if p["type"] == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"]
    assert on_esp(built / "stele.iso", esp["start"] * 512, "::/EFI/BOOT/BOOTX64.EFI") == (built / "stele-medium.efi").read_bytes()


def test_the_pxe_folder_has_both_ways(built):
    for name in ("stele-medium.efi", "vmlinuz", "initramfs.cpio"):
        assert digest(built / "pxe" / name) == digest(built / name)
    script = (built / "pxe/boot.ipxe").read_text()
    assert script.startswith("#!ipxe\n") and (built / "cmdline").read_text() in script


def test_what_was_not_asked_for_does_not_stay(tmp_path):
    for words, wanted in ((["raw", "pxe"], {"stele.raw", "pxe"}), (["raw", "--sector", "4096"], {"stele-4096.raw"})):
        done = build(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        assert {f.name for f in tmp_path.iterdir() if f.suffix in (".raw", ".iso", ".qcow2") or f.name == "pxe"} == wanted
        assert "signed with the DEVELOPMENT key" in done.stdout


def test_a_wrong_word_is_refused(tmp_path):
    for words in (["vdi"], ["iso", "--sector", "4096"], ["--version", "1.2"]):
        done = build(tmp_path / "out", *words)
        assert done.returncode != 0 and not (tmp_path / "out/stele.img").exists()
