"""What a power-on does with a disk state: OVMF, systemd-boot 257, and the images that are known to be whole.

The rules are those of systemd 257's src/boot/boot.c, by function:

 config_load_type2_entries   every file of EFI/Linux that ends in .efi in any case, unless it begins with `.` or `auto-`
 boot_entry_add_type2        is an entry only if the PE header and `.osrel` can be read; its id is the file's name in lower case
 boot_entry_parse_tries      the last `+LEFT[-DONE]` right before .efi is a counter, and not part of the id
 boot_entry_compare          without tries left last; then (the same sort key and version for all of ours) ids by
                             strverscmp_improved, highest first; of equal ids that count both, more left, then fewer done
 sort_pointer_array          an insertion sort: equal ones stay in the order of the directory
 config_select_default_entry the first; even one without tries left when there is nothing else
 boot_entry_bump_counters    renames before the start to +LEFT-1-DONE+1; what goes wrong is ignored
 run, image_start            an image that cannot be loaded returns to the firmware, which takes its next boot entry

An installed node has several boot entries for one loader, so that this next entry is the same loader again. After them
firmware tries EFI/BOOT/BOOTX64.EFI. Then it waits for somebody: the node is stuck. There is firmware that does worse: it
refuses a loader (by its signature, or as one that it cannot load), and goes on with the next entry, and it does not look at the
removable path of a fixed disk.
"""

import dataclasses
import struct
import uuid

import fat
import gpt
from loader_order import Entry, loader_order, parse_name

ESP_TYPE = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
FALLBACK_LOADER = "EFI/BOOT/BOOTX64.EFI"
MOST_STARTS = 16


@dataclasses.dataclass(frozen=True)
class Known:
    """What is whole: the bytes of files and roots, by the name people know them by."""
    loaders: dict[str, memoryview]
    images: dict[str, memoryview]
    roots: dict[str, memoryview]  # what the slot of that image begins with


@dataclasses.dataclass(frozen=True)
class Firmware:
    """How it deals with loaders."""
    refuses: frozenset[str] = frozenset()  # names of loaders, as Known has them
    fallback: bool = True  # it tries the removable path

    def order(self, entries: list[str]) -> list[str]:
        return [*entries, FALLBACK_LOADER] if self.fallback else entries


OVMF = Firmware()


@dataclasses.dataclass
class Verdict:
    image: str | None  # what runs; None: nobody comes without hands
    why: str  # when None
    counted: bool = False  # that image runs on trial
    starts: int = 0  # times the loader started something, the last one included
    power_ons: int = 1
    fallback: str | None = None  # what runs once that image failed until the loader gave it up
    whole: frozenset[str] = frozenset()  # images that are whole under some name in EFI/Linux, .new included
    broken: tuple[str, ...] = ()  # names ending in .efi whose content is no known image
    dangling: tuple[str, ...] = ()  # known images with tries whose root is in no slot


class Model:
    """Judges the states of one recording; remembers what it compared."""

    def __init__(self, known: Known, disk_size: int):
        self.known, self._size = known, disk_size
        self._same: dict[tuple, bool] = {}
        self._tables: dict[tuple, tuple[list[gpt.Partition], bool]] = {}
        self._memory: dict[tuple, object] = {}

    def judge(self, state, loaders: list[str], firmware: Firmware = OVMF) -> Verdict:
        """`loaders`: the paths of the firmware's boot entries, in BootOrder."""
        try:
            partitions, volume, for_kernel = self._open(state)
        except (gpt.BadTable, fat.BadFat) as error:
            return Verdict(None, str(error))
        directory = volume.find("EFI/Linux")
        files = volume.files(directory.cluster) if directory and directory.is_directory() else []
        contents = {file.name: self._image(state, volume, file) for file in files if not file.is_directory()}
        roots = self._roots(state, partitions) if for_kernel else set()
        entries = _entries(files, contents, lambda file: _has_osrel(volume, file))
        order = [self._loader(state, volume, path, firmware.refuses) for path in firmware.order(loaders)]
        verdict = _power_on(entries, order, roots)
        verdict.whole = frozenset(filter(None, contents.values()))
        verdict.broken = tuple(sorted(file.name for file in files if file.name.lower().endswith(".efi") and contents.get(file.name) is None))
        verdict.dangling = tuple(entry.file for entry in entries if entry.image and entry.left != 0 and entry.image not in roots)
        if verdict.image:
            left = [entry for entry in entries if entry.image != verdict.image]
            # The counter of a counted image runs out; one that does not count is started for ever.
            verdict.fallback = _power_on(left, order, roots).image if verdict.counted else verdict.image
        return verdict

    def esp_is_sound(self, state) -> bool:
        """Whether no chain of the ESP is broken and no cluster has two owners, whether it boots or not."""
        try:
            return not self._open(state)[1].problems()
        except (gpt.BadTable, fat.BadFat):
            return False

    def _open(self, state) -> tuple[list[gpt.Partition], fat.Fat, bool]:
        """Partitions, the ESP, and whether the kernel sees them: it takes no copy of the table (block/partitions/efi.c), and not
        every firmware writes a torn one back."""
        # Both tables: all in front of the notes on the disk, 33 sectors at the end.
        key = (state.identity(0, 512 << 10), state.identity(self._size - 33 * gpt.SECTOR, 33 * gpt.SECTOR))
        if key not in self._tables:
            self._tables[key] = gpt.read(state.read, self._size), gpt.first_is_whole(state.read, self._size)
        table, for_kernel = self._tables[key]
        esp = next((part for part in table if part.kind == ESP_TYPE), None)
        if esp is None:
            raise gpt.BadTable("no ESP")
        return table, fat.Fat(state.read, esp.offset, esp.size, state.identity, self._memory), for_kernel

    def _image(self, state, volume: fat.Fat, file: fat.File) -> str | None:
        return self._name(state, volume, file, self.known.images)

    def _loader(self, state, volume: fat.Fat, path: str, refused: frozenset[str]) -> str | None:
        """The loader's name; "" when there is no such file, or it is refused; None when it is none that is known."""
        file = volume.find(path)
        if file is None or file.is_directory():
            return ""
        name = self._name(state, volume, file, self.known.loaders)
        return "" if name in refused else name

    def _roots(self, state, partitions: list[gpt.Partition]) -> set[str]:
        slots = [part for part in partitions if part.name.startswith("STELE-ROOT-")]
        return {name for name, root in self.known.roots.items() for part in slots if self._holds(state, [(part.offset, len(root))], root)}

    def _name(self, state, volume: fat.Fat, file: fat.File, known: dict[str, memoryview]) -> str | None:
        extents, problem = volume.extents(file)
        if problem:
            return None
        return next((name for name, data in known.items() if len(data) == file.size and self._holds(state, extents, data)), None)

    def _holds(self, state, extents: list[tuple[int, int]], data: memoryview) -> bool:
        """Whether these bytes of the disk are `data`. Each version of each piece is compared once, whatever the states."""
        at = 0
        for offset, size in extents:
            for start, length, identity in state.pieces(offset, size):
                key = (id(data), at, start, length, identity)
                if key not in self._same:
                    self._same[key] = state.read(start, length) == data[at:at + length]
                if not self._same[key]:
                    return False
                at += length
        return at == len(data)


def _power_on(entries: list[Entry], loaders: list[str | None], roots: set[str]) -> Verdict:
    """From power-on until an image runs. What the loader renames on the way is kept in a copy."""
    entries = [dataclasses.replace(entry) for entry in entries]
    starts = 0
    power_ons = 1
    while True:
        panicked = False
        for loader in loaders:
            if loader == "":
                continue  # firmware says not found, or no, and takes the next
            if loader is None:
                # Half a loader may be refused, or run and hang: nobody knows, so it counts as the end.
                return Verdict(None, "the loader is torn", starts=starts, power_ons=power_ons)
            if not entries or starts == MOST_STARTS:
                continue  # the loader finds nothing, or only itself
            entry = loader_order(entries)[0]
            counted = entry.left >= 0
            if counted:
                bumped = f"{entry.file.rpartition('+')[0]}+{max(entry.left - 1, 0)}-{entry.done + 1}.efi"
                if all(other.file.lower() != bumped.lower() for other in entries):
                    entry.file, entry.left, entry.done = bumped, max(entry.left - 1, 0), entry.done + 1
            starts += 1
            if entry.image is None:
                continue  # cannot be loaded: back to the firmware, the next boot entry
            if entry.image not in roots:
                panicked = True  # its init finds no root and panics: the machine resets
                break
            return Verdict(entry.image, "", counted, starts, power_ons)
        if not panicked or starts >= MOST_STARTS:
            why = "no loader" if not any(loaders) else "no entry" if not entries else "no entry can be loaded"
            return Verdict(None, why, starts=starts, power_ons=power_ons)
        power_ons += 1


def _entries(files: list[fat.File], contents: dict[str, str | None], has_osrel) -> list[Entry]:
    found = []
    for file in files:
        lower = file.name.lower()
        if file.is_directory() or not lower.endswith(".efi") or lower.startswith((".", "auto-")):
            continue
        if contents[file.name] is None and not has_osrel(file):
            continue
        found.append(parse_name(file.name, contents[file.name]))
    return found


def _has_osrel(volume: fat.Fat, file: fat.File) -> bool:
    """Whether systemd-boot would list a file that is no known image: its headers and `.osrel` are there."""
    extents, _ = volume.extents(file)
    readable = sum(size for _, size in extents)

    def read(offset: int, size: int) -> bytes:
        return _read_extents(volume, extents, offset, size) if offset + size <= readable else b""

    start = read(0, 64)
    if start[:2] != b"MZ" or len(start) < 64:
        return False
    at, = struct.unpack_from("<I", start, 0x3C)
    header = read(at, 24)
    if header[:4] != b"PE\0\0":
        return False
    count, optional = struct.unpack_from("<H12xH", header, 6)
    table = read(at + 24 + optional, count * 40)
    for index in range(len(table) // 40):
        name, size, _, _, where = struct.unpack_from("<8sIIII", table, index * 40)
        if name.rstrip(b"\0") == b".osrel":
            return b"ID=" in read(where, min(size, 4096))
    return False


def _read_extents(volume: fat.Fat, extents: list[tuple[int, int]], offset: int, size: int) -> bytes:
    found = b""
    for at, length in extents:
        if offset < length and size > 0:
            part = min(size, length - offset)
            found += volume.read_disk(at + offset, part)
            size -= part
            offset = 0
        else:
            offset = max(offset - length, 0)
    return found
