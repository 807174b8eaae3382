"""Disks for the lab: partitioned as a node's, with small images, so that the write log of an upgrade stays small."""

import dataclasses
import hashlib
import pathlib
import random
import tempfile

import disk as image_disk
import image_file
import lab_image
import signing
import verity

MIB = 1 << 20
SLOT_SIZE = 2 * MIB  # of the root slots; a root here is ROOT_SIZE
ROOT_SIZE = MIB + 12288  # the data and its hash tree
STATE_SIZE = 256 * MIB
ESP_SIZE = 512 * MIB  # as a node's: clusters, tables and the directories' sectors are the same
EPOCH = 1795392000
LOADER = "EFI/systemd/systemd-bootx64.efi"
ESP_ID = "57E1E000-0000-4000-8000-000000000001"
STATE_ID = "57E1E000-0000-4000-8000-000000000004"

ESP_AT = MIB
SLOT_A_AT = ESP_AT + ESP_SIZE
SLOT_B_AT = SLOT_A_AT + SLOT_SIZE
STATE_AT = SLOT_B_AT + SLOT_SIZE
MARK_AT = STATE_AT + STATE_SIZE
DATA_AT = MARK_AT + MIB
# More than a group of ext4, so that it has a second superblock, as on every node.
DATA_SIZE = 160 * MIB
DISK_SIZE = DATA_AT + DATA_SIZE + MIB


@dataclasses.dataclass(frozen=True)
class Image:
    """One version: what the ESP and a slot hold of it."""
    name: str
    uki: bytes = dataclasses.field(repr=False)
    root: bytes = dataclasses.field(repr=False)  # with its hash tree
    verity: verity.Verity

    def root_hash(self) -> str:
        return self.verity.root_hash.hex()

    def file(self, version: str, loader: bytes) -> tuple[bytes, bytes]:
        """(the signed image file, its header) with that loader."""
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            parts = [("LOADER", work / "loader"), ("UKI", work / "uki"), ("ROOT", work / "root")]
            for (_, file), data in zip(parts, (loader, self.uki, self.root)):
                file.write_bytes(data)
            about = image_file.About(version, "lab", hashlib.sha256(b"no sbom").digest(), self.verity)
            key = signing.development_key()
            image_file.write(work / "image", image_file.manifest(about, parts), [key], [file for _, file in parts])
            return (work / "image").read_bytes(), image_file.read(work / "image").header


def image(name: str, size: int = MIB, reset: bool = False) -> Image:
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        (work / "data").write_bytes(random.Random("root " + name).randbytes(MIB))
        tree = verity.append(work / "data", work / "root")
        root = (work / "root").read_bytes()
    if len(root) != ROOT_SIZE:
        raise ValueError(f"a root of {len(root)} bytes")
    return Image(name, lab_image.build(name, size, tree.parameter(), reset), root, tree)


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a disk holds when a scenario begins."""
    entries: tuple[tuple[str, Image], ...]  # names in EFI/Linux
    slot_a: Image | None = None
    slot_b: Image | None = None
    fillers: int = 0  # files of one directory slot each before the entries: moves them over the edge of a sector
    esp_files: tuple[tuple[str, bytes], ...] = ()  # besides the loader and the images
    state_files: tuple[tuple[str, bytes], ...] = ()
    data_files: tuple[tuple[str, bytes], ...] = ()
    size: int = DISK_SIZE  # a larger disk is one that the image was written onto


def build(out: pathlib.Path, layout: Layout, loader: bytes) -> None:
    with open(out, "wb") as made:
        made.truncate(DISK_SIZE)
    rows = [f"label: gpt\nlabel-id: {image_disk.DISK_ID}\nfirst-lba: 2048",
            row(ESP_AT, ESP_SIZE, image_disk.TYPE_ESP, ESP_ID, "ESP")]
    for number, (at, size, name) in enumerate(((SLOT_A_AT, SLOT_SIZE, "STELE-ROOT-A"), (SLOT_B_AT, SLOT_SIZE, "STELE-ROOT-B"),
                                               (STATE_AT, STATE_SIZE, "STELE-STATE"), (MARK_AT, MIB, "LAB-MARK"),
                                               (DATA_AT, DATA_SIZE, "STELE-DATA")), 2):
        rows.append(row(at, size, image_disk.TYPE_LINUX, f"57E1E000-0000-4000-8000-00000000001{number}", name))
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        work = pathlib.Path(folder)
        (work / "table").write_text("\n".join(rows) + "\n")
        image_disk.run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", out], EPOCH, stdin=work / "table")
        _esp(out, layout, loader, work)
        for name, at, size, files in (("STELE-STATE", STATE_AT, STATE_SIZE, layout.state_files), ("STELE-DATA", DATA_AT, DATA_SIZE, layout.data_files)):
            _ext4(out, name, at, size, files, work / name)
    with open(out, "r+b") as made:
        made.truncate(layout.size)
        for at, slot in ((SLOT_A_AT, layout.slot_a), (SLOT_B_AT, layout.slot_b)):
            if slot:
                made.seek(at)
                made.write(slot.root)


def _ext4(out: pathlib.Path, name: str, at: int, size: int, files: tuple[tuple[str, bytes], ...], folder: pathlib.Path) -> None:
    folder.mkdir()
    for path, data in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    image_disk.run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", name, "-b", "4096", "-m", "0", "-U", STATE_ID, "-d", folder,
                    "-E", f"offset={at},hash_seed={STATE_ID},lazy_itable_init=1,lazy_journal_init=1,nodiscard",
                    out, f"{size // 1024}k"], EPOCH)


def row(start: int, size: int, kind: str, uuid: str, name: str) -> str:
    return f"start={start // 512}, size={size // 512}, type={kind}, uuid={uuid}, name={name}"


def _esp(out: pathlib.Path, layout: Layout, loader: bytes, work: pathlib.Path) -> None:
    image_disk.run(["mkfs.vfat", "--invariant", "-F", "32", "-i", image_disk.ESP_VOLUME_ID, "-n", "ESP", "-S", "512",
                    "--offset", str(ESP_AT // 512), out, str(ESP_SIZE // 1024)], EPOCH)
    at = f"{out}@@{ESP_AT}"
    image_disk.run(["mmd", "-i", at, "::EFI", "::EFI/BOOT", "::EFI/systemd", "::EFI/Linux", "::loader"], EPOCH)
    files = [("EFI/BOOT/BOOTX64.EFI", loader), (LOADER, loader), ("loader/loader.conf", b"timeout 0\neditor no\n")]
    files += [(f"EFI/Linux/FILLER{number}", b"") for number in range(layout.fillers)]
    files += [(f"EFI/Linux/{name}", held.uki) for name, held in layout.entries]
    files += layout.esp_files
    for name, data in files:
        (work / "file").write_bytes(data)
        image_disk.run(["mcopy", "-i", at, work / "file", f"::{name}"], EPOCH)
