"""The partition table of a disk state, as firmware and kernel believe it: only behind a protective MBR, only where its
checksums hold; the copy at the end counts when the first does not."""

import dataclasses
import struct
import uuid
import zlib

SECTOR = 512
HEADER = "<8sIIIIQQQQ16sQIII"
MOST_ENTRIES = 256
PROTECTIVE = 0xEE  # the type of the MBR's entry


class BadTable(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Partition:
    name: str
    kind: uuid.UUID
    unique: uuid.UUID
    offset: int
    size: int


def read(read_bytes, disk_size: int) -> list[Partition]:
    mbr = read_bytes(0, SECTOR)
    if mbr[510:] != b"\x55\xaa" or not any(mbr[at + 4] == PROTECTIVE for at in range(446, 510, 16)):
        raise BadTable("no protective MBR")
    problems = []
    for lba in (1, disk_size // SECTOR - 1):
        try:
            return _read_at(read_bytes, lba, disk_size)
        except BadTable as error:
            problems.append(str(error))
    raise BadTable("; ".join(problems))


def first_is_whole(read_bytes, disk_size: int) -> bool:
    try:
        return bool(_read_at(read_bytes, 1, disk_size))
    except BadTable:
        return False


def _read_at(read_bytes, lba: int, disk_size: int) -> list[Partition]:
    sector = read_bytes(lba * SECTOR, SECTOR)
    if len(sector) < SECTOR or sector[:8] != b"EFI PART":
        raise BadTable(f"no header in sector {lba}")
    _, _, length, checksum, _, own, _, _, _, _, at, count, size, array_sum = struct.unpack_from(HEADER, sector)
    if not 92 <= length <= SECTOR or zlib.crc32(sector[:16] + b"\0" * 4 + sector[20:length]) != checksum or own != lba:
        raise BadTable(f"the header in sector {lba} is torn")
    if count > MOST_ENTRIES or not 128 <= size <= 4096:
        raise BadTable(f"the header in sector {lba} tells of {count} entries of {size} bytes")
    array = read_bytes(at * SECTOR, count * size)
    if len(array) < count * size or zlib.crc32(array) != array_sum:
        raise BadTable(f"the entries of the header in sector {lba} are torn")
    found = []
    for index in range(count):
        kind, unique, first, last, _, name = struct.unpack_from("<16s16sQQQ72s", array, index * size)
        if any(kind) and first <= last and (last + 1) * SECTOR <= disk_size:
            found.append(Partition(name.decode("utf-16-le", "replace").split("\0")[0], uuid.UUID(bytes_le=kind),
                                   uuid.UUID(bytes_le=unique), first * SECTOR, (last + 1 - first) * SECTOR))
    return found
