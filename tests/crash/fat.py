"""FAT32 over a disk state that may be anything: reads are bounded, nothing read is believed.

What is damaged is told, not raised, once the boot sector is sound: a chain that ends early, runs in a circle or leaves
the volume, and clusters that two files share.
"""

import dataclasses
import struct
from typing import Callable, Iterator

MOST_DIRECTORY = 2 << 20  # bytes; 65536 slots, as the format allows
MOST_DEPTH = 16
DIRECTORY, VOLUME, LONG = 0x10, 0x08, 0x0F
END = 0x0FFFFFF8


class BadFat(Exception):
    """The boot sector is not one of FAT32: firmware finds no file system here."""


@dataclasses.dataclass(frozen=True)
class File:
    name: str
    short: str  # the 8.3 name, which counts when the long one is torn away
    attributes: int
    cluster: int
    size: int

    def is_directory(self) -> bool:
        return bool(self.attributes & DIRECTORY)


class Fat:
    """A volume in `size` bytes from `start`. `identity(offset, size)` names a range's content; what was found out about
    such a content before is taken from `memory`, which volumes of one shape may share."""

    def __init__(self, read: Callable[[int, int], bytes], start: int, size: int, identity: Callable | None = None, memory: dict | None = None):
        self._read, self._identity, self._memory = read, identity, memory
        boot = read(start, 512)
        if len(boot) < 512 or boot[510:] != b"\x55\xaa":
            raise BadFat("no boot sector")
        (sector, per_cluster, reserved, fats, root_entries, small, _, fat16) = struct.unpack_from("<HBHBHHBH", boot, 11)
        total, fat_size = struct.unpack_from("<II", boot, 32)
        root, = struct.unpack_from("<I", boot, 44)
        if sector not in (512, 1024, 2048, 4096) or per_cluster == 0 or per_cluster & per_cluster - 1 or not 1 <= fats <= 2:
            raise BadFat(f"sectors of {sector}, clusters of {per_cluster}, {fats} tables")
        if root_entries or small or fat16 or not fat_size or not reserved or total * sector > size:
            raise BadFat("not FAT32, or larger than its partition")
        data = reserved + fats * fat_size
        if data >= total:
            raise BadFat("no room for data")
        self.cluster_size = sector * per_cluster
        self.clusters = min((total - data) // per_cluster, fat_size * sector // 4 - 2)
        self._table = start + reserved * sector
        self._data = start + data * sector
        self.root = root

    def read_disk(self, offset: int, size: int) -> bytes:
        return self._read(offset, size)

    def offset(self, cluster: int) -> int:
        return self._data + (cluster - 2) * self.cluster_size

    def table_range(self) -> tuple[int, int]:
        """Where the first table lies on the disk: all of the chains."""
        return self._table, (self.clusters + 2) * 4

    def _remembered(self, question: tuple, ranges: list[tuple[int, int]], answer: Callable):
        if self._memory is None:
            return answer()
        key = (question, *(self._identity(at, size) for at, size in ranges))
        if key not in self._memory:
            self._memory[key] = answer()
        return self._memory[key]

    def chain(self, cluster: int, most: int) -> tuple[list[int], str]:
        """At most `most` clusters from `cluster` on, and what is wrong with the chain ("" when nothing is).

        The end mark is not asked for once `most` are there: a reader stops at the file's size."""
        return self._remembered(("chain", cluster, most), [self.table_range()], lambda: self._chain(cluster, most))

    def _chain(self, cluster: int, most: int) -> tuple[list[int], str]:
        found: list[int] = []
        seen = set()
        window, window_at = b"", -1
        while len(found) < most:
            if cluster >= END:
                return found, f"ends after {len(found)} of {most} clusters"
            if not 2 <= cluster < self.clusters + 2:
                return found, f"leaves the volume (cluster {cluster:#x})"
            if cluster in seen:
                return found, "runs in a circle"
            seen.add(cluster)
            found.append(cluster)
            block = cluster * 4 // 512
            if block != window_at:
                window, window_at = self._read(self._table + block * 512, 512), block
            at = cluster * 4 % 512
            if len(window) < at + 4:
                return found, "leaves the disk"
            cluster = struct.unpack_from("<I", window, at)[0] & 0x0FFFFFFF
        return found, ""

    def extents(self, file: File) -> tuple[list[tuple[int, int]], str]:
        """(offset, size) on the disk of a file's bytes, joined where they touch, and what is wrong with them."""
        if file.size == 0:
            return [], ""
        if file.size > self.clusters * self.cluster_size:
            return [], "larger than the volume"
        return self._remembered(("extents", file.cluster, file.size), [self.table_range()], lambda: self._extents(file))

    def _extents(self, file: File) -> tuple[list[tuple[int, int]], str]:
        clusters, problem = self._chain(file.cluster, -(-file.size // self.cluster_size))
        left = min(file.size, len(clusters) * self.cluster_size)
        found: list[tuple[int, int]] = []
        for cluster in clusters:
            at, part = self.offset(cluster), min(left, self.cluster_size)
            if found and found[-1][0] + found[-1][1] == at:
                found[-1] = (found[-1][0], found[-1][1] + part)
            else:
                found.append((at, part))
            left -= part
        return found, problem

    def content(self, file: File) -> bytes:
        extents, problem = self.extents(file)
        if problem:
            raise BadFat(f"{file.name} {problem}")
        return b"".join(self._read(at, size) for at, size in extents)

    def files(self, cluster: int) -> list[File]:
        """What the directory that begins at `cluster` lists."""
        clusters, _ = self.chain(cluster, MOST_DIRECTORY // self.cluster_size)
        ranges = [(self.offset(each), self.cluster_size) for each in clusters]
        return self._remembered(("files",), ranges, lambda: list(_files(self._slots(ranges))))

    def _slots(self, ranges: list[tuple[int, int]]) -> Iterator[bytes]:
        """32-byte slots up to the end mark."""
        for offset, size in ranges:
            block = self._read(offset, size)
            for at in range(0, len(block) - 31, 32):
                if block[at] == 0:
                    return
                yield block[at:at + 32]

    def find(self, path: str) -> File | None:
        """By long or short name, in any case, as firmware looks names up."""
        cluster, found = self.root, None
        for depth, word in enumerate(path.split("/")):
            if depth > MOST_DEPTH or (found and not found.is_directory()):
                return None
            wanted = word.lower()
            found = next((file for file in self.files(cluster) if wanted in (file.name.lower(), file.short.lower())), None)
            if found is None:
                return None
            cluster = found.cluster
        return found

    def walk(self) -> Iterator[tuple[str, File]]:
        """All files and directories with their paths, each directory once."""
        queue, seen = [("", self.root, 0)], {self.root}
        while queue:
            path, cluster, depth = queue.pop()
            for file in self.files(cluster):
                if file.name in (".", ".."):
                    continue
                yield f"{path}{file.name}", file
                if file.is_directory() and depth < MOST_DEPTH and file.cluster not in seen:
                    seen.add(file.cluster)
                    queue.append((f"{path}{file.name}/", file.cluster, depth + 1))

    def problems(self) -> list[str]:
        """Broken chains and clusters with two owners."""
        everything = list(self.walk())
        question = ("problems", *((path, file.cluster, file.size) for path, file in everything))
        return self._remembered(question, [self.table_range()], lambda: self._problems(everything))

    def _problems(self, everything: list[tuple[str, File]]) -> list[str]:
        owner: dict[int, str] = {}
        found = []
        for path, file in everything:
            if file.is_directory():
                clusters, problem = self._chain(file.cluster, MOST_DIRECTORY // self.cluster_size)
                problem = "" if problem.startswith("ends") and clusters else problem  # a directory's size is its chain
            else:
                clusters, problem = self._chain(file.cluster, -(-file.size // self.cluster_size))
            if problem:
                found.append(f"{path} {problem}")
            shared = {owner[cluster] for cluster in clusters if cluster in owner}
            found += [f"{path} shares clusters with {other}" for other in sorted(shared)]
            owner.update((cluster, path) for cluster in clusters)
        return found


def _files(slots: Iterator[bytes]) -> Iterator[File]:
    """Joins long names with the slot they belong to; a long name whose order or checksum does not fit is dropped."""
    parts: dict[int, str] = {}
    expected = checksum = 0
    for slot in slots:
        if slot[0] == 0xE5:
            parts, expected = {}, 0
            continue
        if slot[11] & 0x3F == LONG:
            order = slot[0] & 0x3F
            if slot[0] & 0x40:
                parts, expected, checksum = {}, order, slot[13]
            if not order or order != expected or slot[13] != checksum or order > 20:
                parts, expected = {}, 0
                continue
            parts[order] = (slot[1:11] + slot[14:26] + slot[28:32]).decode("utf-16-le", "replace")
            expected -= 1
            continue
        short = _short_name(slot)
        name = short
        if parts and expected == 0 and checksum == _checksum(slot[:11]):
            name = "".join(parts[order] for order in sorted(parts)).split("\0")[0].rstrip("\uffff")
        parts, expected = {}, 0
        if slot[11] & VOLUME:
            continue
        high, low, size = struct.unpack_from("<H4xHI", slot, 20)
        yield File(name, short, slot[11], high << 16 | low, size)


def _short_name(slot: bytes) -> str:
    stem, extension = slot[:8].decode("cp437").rstrip(" "), slot[8:11].decode("cp437").rstrip(" ")
    if slot[0] == 0x05:
        stem = "\u03c3" + stem[1:]  # 0xE5, which would mean deleted
    if slot[12] & 0x08:
        stem = stem.lower()
    if slot[12] & 0x10:
        extension = extension.lower()
    return f"{stem}.{extension}" if extension else stem


def _checksum(short: bytes) -> int:
    total = 0
    for byte in short:
        total = ((total & 1) << 7) + (total >> 1) + byte & 0xFF
    return total
