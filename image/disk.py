"""A bootable GPT disk made with plain files: no root, no loop devices, no mounts.

    ESP            vfat   512 MiB   systemd-boot and the UKI
    STELE-ROOT-A   1 GiB            the root with its verity tree
    STELE-ROOT-B   1 GiB            empty: the first upgrade's
    STELE-STATE    ext4   256 MiB   config generations, what upgrades are about
    STELE-DATA     ext4   the rest  /var

Identifiers, times and hash seeds are fixed, so the same inputs give the same bytes. The file is sparse.
"""

import dataclasses
import hashlib
import os
import pathlib

import debian
import image_file

MIB, GIB = 1 << 20, 1 << 30

TYPE_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
# Plain Linux data, also for the roots: a type that the Discoverable Partitions Specification gives a meaning would have
# somebody else's generator mount or verify them in its own way.
TYPE_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
TYPE_VAR = "4D21B016-B534-45C2-A9FB-5C16E091FD2D"
DISK_ID = "57E1E000-0000-4000-8000-000000000000"
ESP_VOLUME_ID = "57E1E001"
LOADER_CONF = "timeout 0\neditor no\n"  # no `default` line: which entry boots is decided by file names and counters alone


@dataclasses.dataclass(frozen=True)
class Partition:
    name: str
    kind: str
    start: int
    size: int
    uuid: str


def layout(disk_size: int) -> dict[str, Partition]:
    found, start = {}, MIB
    for number, (name, kind, size) in enumerate([
            ("ESP", TYPE_ESP, 512 * MIB), ("STELE-ROOT-A", TYPE_LINUX, GIB), ("STELE-ROOT-B", TYPE_LINUX, GIB),
            ("STELE-STATE", TYPE_LINUX, 256 * MIB), ("STELE-DATA", TYPE_VAR, 0)], 1):
        size = size or disk_size - start - MIB
        found[name] = Partition(name, kind, start, size, f"57E1E000-0000-4000-8000-{number:012d}")
        start += size
    return found


def build(out: pathlib.Path, size: int, image: pathlib.Path, sector: int, epoch: int, work: pathlib.Path) -> None:
    """Installs the image file `image` on a new disk of `size` bytes, as a node installs it: slot A, good."""
    work.mkdir()
    scratch = out.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    with open(scratch, "wb") as opened:
        opened.truncate(size)
    parts = layout(size)
    _table(scratch, parts, sector, epoch, work)
    header, loader, program = _parts(image, work)
    _esp(scratch, parts["ESP"], sector, loader, program, epoch, work)
    _copy(image, image_file.head_size(image), scratch, parts["STELE-ROOT-A"])
    for name in ("STELE-STATE", "STELE-DATA"):
        _ext4(scratch, parts[name], epoch)
    _state(scratch, parts["STELE-STATE"], header, epoch, work)
    scratch.rename(out)


def _table(disk: pathlib.Path, parts: dict[str, Partition], sector: int, epoch: int, work: pathlib.Path) -> None:
    rows = [f"start={p.start // sector}, size={p.size // sector}, type={p.kind}, uuid={p.uuid}, name={p.name}" for p in parts.values()]
    (work / "table").write_text("\n".join([f"label: gpt\nlabel-id: {DISK_ID}\nfirst-lba: {MIB // sector}", *rows]) + "\n")
    # fdisk, since Debian 12's sfdisk knows no other sectors than the file's own, which are of 512 bytes; I reads a script of sfdisk's.
    (work / "answers").write_text(f"I\n{work / 'table'}\nw\n")
    run(["fdisk", "--sector-size", sector, "--wipe", "never", "--wipe-partitions", "never", disk], epoch, stdin=work / "answers")


def _parts(image: pathlib.Path, work: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path, pathlib.Path]:
    """The image file's header, loader and UKI, as files."""
    found = image_file.read(image)
    (work / "header").write_bytes(found.header)
    with open(image, "rb") as opened:
        for name, part, offset in zip(("loader", "uki"), found.manifest.parts, found.offsets):
            opened.seek(offset)
            (work / name).write_bytes(opened.read(part.size))
    return work / "header", work / "loader", work / "uki"


def _esp(disk: pathlib.Path, esp: Partition, sector: int, loader: pathlib.Path, program: pathlib.Path, epoch: int, work: pathlib.Path) -> None:
    # Clusters of 4096: with more, 512 MiB would have too few of them for FAT32.
    run(["mkfs.vfat", "--invariant", "-F", "32", "-i", ESP_VOLUME_ID, "-n", "ESP", "-S", sector, "-s", 4096 // sector,
         "--offset", esp.start // sector, disk, esp.size // 1024], epoch)
    conf = work / "loader.conf"
    conf.write_text(LOADER_CONF)
    at = f"{disk}@@{esp.start}"
    run(["mmd", "-i", at, "::EFI", "::EFI/BOOT", "::EFI/systemd", "::EFI/Linux", "::loader"], epoch)
    # A loader's name follows from its bytes: another version comes beside it, and nothing is ever overwritten.
    name = f"boot-{hashlib.sha256(loader.read_bytes()).hexdigest()[:8]}.efi"
    for source, target in ((loader, "EFI/BOOT/BOOTX64.EFI"), (loader, f"EFI/systemd/{name}"), (conf, "loader/loader.conf"),
                           (program, "EFI/Linux/stele-1.efi")):
        run(["mcopy", "-i", at, source, f"::{target}"], epoch)


def _copy(image: pathlib.Path, offset: int, disk: pathlib.Path, slot: Partition) -> None:
    with open(image, "rb") as source, open(disk, "r+b") as target:
        source.seek(offset)
        target.seek(slot.start)
        while block := source.read(MIB):
            target.write(block)
        if target.tell() > slot.start + slot.size:
            raise debian.Error(f"the root has {target.tell() - slot.start} bytes, its slot {slot.size}")


def _ext4(disk: pathlib.Path, part: Partition, epoch: int) -> None:
    # The hash seed and the creation time are the two things mke2fs would otherwise make up.
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", part.name, "-U", part.uuid, "-b", "4096", "-m", "0", "-E",
         f"offset={part.start},hash_seed={part.uuid},lazy_itable_init=1,lazy_journal_init=1,nodiscard", disk, f"{part.size // 1024}k"], epoch)


def _state(disk: pathlib.Path, part: Partition, header: pathlib.Path, epoch: int, work: pathlib.Path) -> None:
    """What is in slot A, for the node. By debugfs: mke2fs -d would copy the builder's ids and times."""
    lines = ["mkdir upgrade", "cd upgrade", f"write {header} a.manifest"]
    for file, mode in ((".", "040700"), ("a.manifest", "0100600")):
        lines += [f"set_inode_field {file} {field} {value}" for field, value in
                  [("mode", mode), ("uid", 0), ("gid", 0), *((f"{time}", f"@{epoch}") for time in ("ctime", "atime", "mtime", "crtime")),
                   *((f"{time}_extra", 0) for time in ("ctime", "atime", "mtime", "crtime"))]]
    (work / "state").write_text("\n".join(lines) + "\n")
    told = run(["debugfs", "-w", "-f", work / "state", f"{disk}?offset={part.start}"], epoch)
    listed = run(["debugfs", "-R", "cat upgrade/a.manifest", f"{disk}?offset={part.start}"], epoch, text=False)
    if listed != header.read_bytes():  # debugfs ends with status 0 whatever happens
        raise debian.Error(f"debugfs did not write upgrade/a.manifest: {told}")


def run(command: list, epoch: int, stdin: pathlib.Path | None = None, text: bool = True):
    # mtools and mke2fs read the clock through SOURCE_DATE_EPOCH; /sbin is not on everybody's PATH.
    env = os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "E2FSPROGS_FAKE_TIME": str(epoch), "TZ": "UTC", "LC_ALL": "C",
                        "MTOOLS_SKIP_CHECK": "1", "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    return debian.run(command, env=env, stdin=stdin, text=text)
